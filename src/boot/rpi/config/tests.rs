use super::*;

fn read(text: &str) -> Config {
    Config::parse(text, Some(0x1234_abcd), &|name| {
        (name == "more.txt").then(|| "arm_64bit=0\n[pi5]\nkernel=five\n".to_string())
    })
}

#[test]
fn the_last_that_counts_wins() {
    let config = read(
        "kernel=a\n[pi4]\nkernel = b \n[pi5]\n#kernel=no\nkernel=c\n[pi400]\nkernel=d\n[all]\n\
         arm_64bit=1\r\n[gpio4=1]\nkernel=e\n[pi4]\nkernel=f\n[all]\ninitramfs x,y followkernel\n",
    );
    assert_eq!(config.value(Model::Pi3, "kernel"), Some("a"));
    assert_eq!(config.value(Model::Pi4, "kernel"), Some("b"));
    assert_eq!(config.value(Model::Pi5, "kernel"), Some("c"));
    assert_eq!(config.value(Model::Pi3, "initramfs"), Some("x,y"));
    assert!(config.is_on(Model::Pi4, "arm_64bit"));
    assert!(!config.is_on(Model::Pi4, "nothing"));
}

#[test]
fn each_machine_reads_its_own() {
    let text = "cmdline=a\n[0x1234ABCD]\ncmdline=b\n[0x99]\ncmdline=c\n[pi4]\nkernel=k\n[all]\n[gpio4=1]\n\
                cmdline=d\n[tryboot]\ncmdline=e\n[all]\n[pi400]\ncmdline=f\n[all]\n[cm5]\ndtparam=x\n";
    let parsed = |serial| Config::parse(text, serial, &|_| None);
    let ours = parsed(Some(0x1234_abcd));
    assert_eq!(ours.value(Model::Pi4, "cmdline"), Some("b"));
    assert_eq!(ours.value(Model::Pi400, "cmdline"), Some("f"));
    assert_eq!(ours.value(Model::Pi4, "kernel"), None);
    assert_eq!(parsed(Some(0x99)).value(Model::Pi400, "kernel"), Some("k"));
    assert_eq!(
        ours.undecided,
        [("gpio4=1".to_string(), "cmdline".to_string())]
    );
    assert_eq!(
        (ours.serials, ours.narrow),
        (vec![0x1234_abcd, 0x99], vec![Model::Pi400])
    );
    let unknown = parsed(None);
    assert_eq!(unknown.value(Model::Pi3, "cmdline"), Some("a"));
    assert_eq!(unknown.undecided.len(), 4);
}

#[test]
fn included_files_count_where_they_stand() {
    let config = read("arm_64bit=1\ninclude more.txt\n[all]\ninclude nowhere.txt\n");
    assert!(!config.is_on(Model::Pi4, "arm_64bit"));
    assert_eq!(config.value(Model::Pi5, "kernel"), Some("five"));
    assert_eq!(config.value(Model::Pi4, "kernel"), None);
}

#[test]
fn a_file_that_includes_itself_ends() {
    let config = Config::parse("include config.txt\na=1", None, &|_| {
        Some("include config.txt\nb=1".into())
    });
    assert_eq!(config.value(Model::Pi3, "a"), Some("1"));
}

#[test]
fn a_file_that_includes_itself_often_ends_soon() {
    let text = "include config.txt\n".repeat(100);
    let reads = std::cell::Cell::new(0);
    Config::parse(&text, None, &|_| {
        reads.set(reads.get() + 1);
        Some(text.clone())
    });
    assert_eq!(reads.get(), INCLUDES);
}

#[test]
fn long_lines_are_cut_and_recorded() {
    let config = read(&format!("# {0}\nb=1\nkernel={0}\n", "x".repeat(200)));
    assert_eq!(config.long_lines, [("config.txt".to_string(), 3)]);
    assert_eq!(
        config.value(Model::Pi4, "kernel").unwrap().len(),
        98 - "kernel=".len()
    );
}
