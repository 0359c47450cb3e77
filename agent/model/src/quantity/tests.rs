//! Quantities row by row, and against integer arithmetic on their printed form.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check_cpu(text: &str, expect: u64) {
    assert_eq!(cpu(text), Ok(MilliCpu(expect)), "{text}");
}

#[track_caller]
fn check_refused(text: &str, expect: &str) {
    let error = cpu(text).expect_err(text);
    assert!(error.to_string().contains(expect), "{text}: {error}");
}

#[test]
fn cpu_amounts_are_thousandths() {
    check_cpu("2", 2000);
    check_cpu("0", 0);
    check_cpu("300m", 300);
    check_cpu("0.3", 300);
    check_cpu(".5", 500);
    check_cpu("1.", 1000);
    check_cpu("2e1", 20_000);
    check_cpu("1E-3", 1);
    check_cpu("1k", 1_000_000);
    check_cpu("2000000u", 2000);
    check_cpu("-0", 0);
    check_cpu("65536", 65_536_000);
}

#[test]
fn what_no_node_can_mean_is_refused_with_its_value() {
    check_refused("9E", "\"9E\" is over 65536 CPUs");
    check_refused("1n", "\"1n\" is finer than 1m");
    check_refused("0.0001", "finer than 1m");
    check_refused("0.00000000000001", "finer than 1m");
    check_refused("-1", "\"-1\" is negative");
    check_refused("65537", "over 65536 CPUs");
    for text in
        ["", " ", "NaN", "inf", "1x", "m", "1 2", "1..2", "e3", "1e", "1e99999999999", "0x1"]
    {
        check_refused(text, "is not a quantity");
    }
    check_refused("1e9999", "over 65536 CPUs");
}

#[test]
fn reclaimed_cpu_is_a_whole_number_of_thousandths() {
    assert_eq!(whole_milli_cpu("44k"), Ok(MilliCpu(44_000)));
    assert_eq!(whole_milli_cpu("2000"), Ok(MilliCpu(2000)));
    let refused = |text| whole_milli_cpu(text).expect_err(text).to_string();
    assert!(refused("1500m").contains("finer than 1"));
    assert!(refused("9E").contains("over 65536k"));
}

#[test]
fn memory_is_bytes() {
    assert_eq!(memory("1Ki"), Ok(Bytes(1024)));
    assert_eq!(memory("1.5Gi"), Ok(Bytes(1_610_612_736)));
    assert_eq!(memory("128974848"), Ok(Bytes(128_974_848)));
    assert_eq!(memory("1Pi"), Ok(Bytes(1 << 50)));
    assert!(memory("9E").expect_err("too much").to_string().contains("over 1Pi"));
    assert!(memory("1m").expect_err("not whole").to_string().contains("finer than 1"));
}

proptest! {
    #[test]
    fn a_printed_number_of_thousandths_comes_back(milli in 0u64..65_536_000) {
        prop_assert_eq!(cpu(&format!("{milli}m")), Ok(MilliCpu(milli)));
        prop_assert_eq!(cpu(&format!("{}.{:03}", milli / 1000, milli % 1000)), Ok(MilliCpu(milli)));
        prop_assert_eq!(whole_milli_cpu(&milli.to_string()), Ok(MilliCpu(milli)));
    }

    #[test]
    fn no_text_panics(text in "[-+0-9.eEinumkKMGTP ]{0,16}", any in ".{0,12}") {
        let _ = (cpu(&text), memory(&text), whole_milli_cpu(&text), cpu(&any), memory(&any));
    }
}

#[test]
fn measured_amounts_are_rounded() {
    for (text, expect) in
        [("1250345678n", 1250), ("1250500000n", 1251), ("0.33333", 333), ("2", 2000)]
    {
        assert_eq!(measured_cpu(text), Ok(MilliCpu(expect)), "{text}");
    }
    assert!(measured_cpu("-1").is_err() && measured_cpu("9E").is_err());
}

#[test]
fn amounts_are_written_as_kubernetes_does() {
    for (milli, text) in [(0, "0"), (300, "300m"), (4000, "4"), (3500, "3500m"), (2_000_000, "2k")]
    {
        assert_eq!(show_cpu(MilliCpu(milli)), text);
    }
    for (count, text) in [(0, "0"), (44_000, "44k"), (44_500, "44500"), (1_000_000, "1M")] {
        assert_eq!(show_count(count), text);
    }
    for (bytes, text) in [(0, "0"), (1000, "1000"), (120 << 30, "120Gi"), (1 << 50, "1Pi")] {
        assert_eq!(show_memory(Bytes(bytes)), text);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(number in 0u64..=65_536_000) {
        prop_assert_eq!(cpu(&show_cpu(MilliCpu(number))), Ok(MilliCpu(number)));
        prop_assert_eq!(memory(&show_memory(Bytes(number))), Ok(Bytes(number)));
        prop_assert_eq!(whole_milli_cpu(&show_count(number)), Ok(MilliCpu(number)));
    }
}
