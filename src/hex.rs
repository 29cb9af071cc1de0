//! Bytes as hexadecimal digits, two for each.

/// Encodes bytes, in lower case.
pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Encodes a UUID, as `8-4-4-4-12` digits in lower case.
pub fn uuid(bytes: &[u8; 16]) -> String {
    let all = digits(bytes);
    [
        &all[..8],
        &all[8..12],
        &all[12..16],
        &all[16..20],
        &all[20..],
    ]
    .join("-")
}

/// Decodes digits of either case; `None` if they are malformed.
pub fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}
