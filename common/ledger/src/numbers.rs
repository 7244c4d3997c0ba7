//! How numbers are written for readers.

/// Four significant digits.
pub(crate) fn short(x: f64) -> String {
    if x == 0.0 {
        return "0".into();
    }
    let digits = 3 - x.abs().log10().floor() as i32;
    if !(-12..=8).contains(&digits) {
        return format!("{x:.3e}");
    }
    if digits <= 0 {
        return format!("{x:.0}");
    }
    let text = format!("{x:.*}", digits as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number in digits, with a true minus sign and commas between thousands from 10,000 on.
pub(crate) fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("\u{2212}", rest));
    let whole = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let mut out = String::from(sign);
    for (i, c) in digits.char_indices() {
        // 6543 reads better without.
        if whole > 4 && i > 0 && i < whole && (whole - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}
