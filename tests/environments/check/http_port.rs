//! `check`: who holds the port that machines are sent to by HTTP.

use std::net::TcpListener;
use std::process::Command;

use super::remedies::paste;
use crate::network::Network;
use crate::serve::Serve;
use crate::support::{Pool, SERVER, run, wait_until};

fn about_http(pool: &Pool) -> Option<(String, String)> {
    let mut found = pool.findings().into_iter();
    found.find(|(line, _)| line.starts_with("http: "))
}

#[test]
fn an_http_port_held_by_another_program_is_reported() {
    let pool = Pool::with_served_node();
    // Its ports are the test's own.
    let _network = Network::new(&pool);
    assert_eq!(about_http(&pool), None);
    let taken = TcpListener::bind((SERVER, 8080)).unwrap();
    pool.netbe().ok("set http=8080");
    let (problem, remedy) = about_http(&pool).unwrap();
    assert!(
        problem.contains(" listens at TCP port 8080, so netbe serve serves nothing by HTTP"),
        "{problem}"
    );
    assert_eq!(remedy, "ss -ltnp sport = :8080");
    paste(&pool, &remedy);
    drop(taken);
    // Nothing of netbe's runs: that is told of the services.
    assert_eq!(about_http(&pool), None);

    let serve = Serve::start(&pool);
    wait_until("it listens", || serve.log_text().contains("for HTTP"));
    assert_eq!(about_http(&pool), None);
    // It has two seconds to move.
    pool.netbe().ok("set http=8081");
    assert_eq!(about_http(&pool), None);
}

#[test]
fn a_server_that_does_not_listen_is_reported() {
    let pool = Pool::with_served_node();
    let _network = Network::new(&pool);
    let serve = Serve::start(&pool);
    let (back, _) = serve.processes();
    let signal = |name: &str| run(Command::new("kill").args([name, &back.to_string()]));
    signal("-STOP");
    pool.netbe().ok("set http=8080");
    let told = about_http(&pool);
    signal("-CONT");
    let (problem, remedy) = told.unwrap();
    assert!(
        problem.contains("netbe serve does not listen at TCP port 8080"),
        "{problem}"
    );
    assert_eq!(remedy, "journalctl -u netbe-tftp");
    wait_until("it listens", || serve.log_text().contains("for HTTP"));
    assert_eq!(about_http(&pool), None);
}
