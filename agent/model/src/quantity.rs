//! Kubernetes quantities (`300m`, `1.5`, `44k`, `10Gi`, `1e3`) as CPU or memory. Owns the text form
//! only (k8s.io/apimachinery, pkg/api/resource/quantity.go describes the grammar); what a request
//! means is `pod`.
//!
//! Narrower than Kubernetes in two places, because a request of such a size is a mistake on any
//! node: CPU finer than a thousandth is refused instead of rounded up, and there is a largest value.

use crate::units::{Bytes, MilliCpu};

/// The largest CPU amount accepted: far over the 1024 CPUs that a `CpuSet` can hold.
pub const MAX_CPUS: u64 = 65_536;
/// The largest memory amount accepted, 1 Pi.
pub const MAX_BYTES: u64 = 1 << 50;

/// Digits of a mantissa that are read; more cannot matter below the largest values.
const MAX_DIGITS: usize = 24;
const NANO: u128 = 1_000_000_000;

/// Why a text is not a usable quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error(
        "{value:?} is not a quantity (a number with one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent)"
    )]
    Malformed { value: String },
    #[error("{value:?} is negative; allowed are 0 and more")]
    Negative { value: String },
    #[error("{value:?} is finer than {finest}, the smallest unit of {what}")]
    TooFine { value: String, what: &'static str, finest: &'static str },
    #[error("{value:?} is over {largest}, the most that is accepted for {what}")]
    TooLarge { value: String, what: &'static str, largest: &'static str },
}

/// CPUs, in thousandths.
pub fn cpu(text: &str) -> Result<MilliCpu, QuantityError> {
    let nano = nano(text)?;
    if nano > u128::from(MAX_CPUS) * NANO {
        return Err(too_large(text, "CPU", "65536 CPUs"));
    }
    if !nano.is_multiple_of(1_000_000) {
        let value = text.to_owned();
        return Err(QuantityError::TooFine { value, what: "CPU", finest: "1m" });
    }
    Ok(MilliCpu(u64::try_from(nano / 1_000_000).unwrap_or(u64::MAX)))
}

/// CPUs as they were measured: to the nearest thousandth, since meters count finer (`1250345678n`).
pub fn measured_cpu(text: &str) -> Result<MilliCpu, QuantityError> {
    let nano = nano(text)?;
    if nano > u128::from(MAX_CPUS) * NANO {
        return Err(too_large(text, "CPU", "65536 CPUs"));
    }
    Ok(MilliCpu(u64::try_from((nano + 500_000) / 1_000_000).unwrap_or(u64::MAX)))
}

/// Bytes of a computed amount, rounded down: multiplied ones are written in thousandths of a byte.
pub fn computed_memory(text: &str) -> Result<Bytes, QuantityError> {
    let bytes = nano(text)? / NANO;
    if bytes > u128::from(MAX_BYTES) {
        return Err(too_large(text, "memory", "1Pi"));
    }
    Ok(Bytes(u64::try_from(bytes).unwrap_or(u64::MAX)))
}

/// CPUs as Kubernetes writes them: `3500m`, `4`.
pub fn show_cpu(cpu: MilliCpu) -> String {
    match cpu.0 % 1000 {
        0 => show_count(cpu.0 / 1000),
        _ => format!("{}m", cpu.0),
    }
}

/// A whole number as Kubernetes writes it: `44k`, `1500`.
pub fn show_count(number: u64) -> String {
    suffixed(number, 1000, &["k", "M", "G", "T", "P", "E"])
}

/// Bytes as Kubernetes writes them: `120Gi`, `1000`.
pub fn show_memory(bytes: Bytes) -> String {
    suffixed(bytes.0, 1024, &["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
}

/// With the largest suffix that loses nothing.
fn suffixed(mut number: u64, base: u64, suffixes: &[&str]) -> String {
    let mut chosen = "";
    for suffix in suffixes {
        if number == 0 || !number.is_multiple_of(base) {
            break;
        }
        (number, chosen) = (number / base, suffix);
    }
    format!("{number}{chosen}")
}

/// A whole number of thousandths of a CPU, the unit of `reclaimed_millicpu`: `44k` is 44 CPUs.
pub fn whole_milli_cpu(text: &str) -> Result<MilliCpu, QuantityError> {
    let milli = whole(text, "milli-CPU")?;
    if milli > u128::from(MAX_CPUS) * 1000 {
        return Err(too_large(text, "milli-CPU", "65536k"));
    }
    Ok(MilliCpu(u64::try_from(milli).unwrap_or(u64::MAX)))
}

/// Bytes.
pub fn memory(text: &str) -> Result<Bytes, QuantityError> {
    let bytes = whole(text, "memory")?;
    if bytes > u128::from(MAX_BYTES) {
        return Err(too_large(text, "memory", "1Pi"));
    }
    Ok(Bytes(u64::try_from(bytes).unwrap_or(u64::MAX)))
}

fn whole(text: &str, what: &'static str) -> Result<u128, QuantityError> {
    let nano = nano(text)?;
    if !nano.is_multiple_of(NANO) {
        return Err(QuantityError::TooFine { value: text.to_owned(), what, finest: "1" });
    }
    Ok(nano / NANO)
}

fn too_large(text: &str, what: &'static str, largest: &'static str) -> QuantityError {
    QuantityError::TooLarge { value: text.to_owned(), what, largest }
}

/// The value in billionths; saturates, so that what is too large is told as such. Digits below a
/// billionth are refused with the quantity that has them.
fn nano(text: &str) -> Result<u128, QuantityError> {
    let malformed = || QuantityError::Malformed { value: text.to_owned() };
    let trimmed = text.trim();
    let (negative, body) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let split = body.bytes().position(|b| !b.is_ascii_digit() && b != b'.').unwrap_or(body.len());
    let (number, suffix) = body.split_at(split);
    let (mantissa, n_fraction) = mantissa(number).ok_or_else(malformed)?;
    let factor = factor(suffix).ok_or_else(malformed)?;
    if negative && mantissa > 0 {
        return Err(QuantityError::Negative { value: text.to_owned() });
    }
    let scale = 10u128.saturating_pow(n_fraction);
    let exact = mantissa.saturating_mul(factor);
    match exact == u128::MAX || exact.is_multiple_of(scale) {
        true => Ok(exact / scale),
        // Finer than a billionth: one more than can be represented, which no unit accepts.
        false => Ok((exact / scale).saturating_add(1)),
    }
}

/// Digits without the point, and how many of them stood behind it.
fn mantissa(number: &str) -> Option<(u128, u32)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = whole.len() + fraction.len();
    if digits == 0 || digits > MAX_DIGITS || fraction.contains('.') {
        return None;
    }
    let value = format!("{whole}{fraction}").parse().ok()?;
    Some((value, u32::try_from(fraction.len()).ok()?))
}

/// What one unit of the suffix is, in billionths.
fn factor(suffix: &str) -> Option<u128> {
    let binary = |power: u32| 1024u128.pow(power) * NANO;
    let decimal = |power: u32| 1000u128.pow(power) * NANO;
    Some(match suffix {
        "n" => 1,
        "u" => 1000,
        "m" => 1_000_000,
        "" => NANO,
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => return exponent(suffix),
    })
}

/// `e3`, `E-3`: a power of ten.
fn exponent(suffix: &str) -> Option<u128> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let power: i32 = digits.parse().ok()?;
    let power = power.checked_add(9)?;
    // Below a billionth there is nothing to represent.
    let power = u32::try_from(power).ok()?;
    Some(10u128.saturating_pow(power))
}

#[cfg(test)]
mod tests;
