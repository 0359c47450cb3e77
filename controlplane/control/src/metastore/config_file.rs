//! A configuration file as flags: keys are the names of flags, as in etcd, which has some of them in a section of their own. KubeBrain
//! reads no file; its flags are keys here as well. Owns the file's form; what a value means is said where flags are.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A key with its value, as a flag has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
}

impl Setting {
    /// As a word of the command line.
    pub(super) fn word(&self) -> OsString {
        format!("--{}={}", self.key, self.value).into()
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// As if it were not there.
    Nothing(()),
}

/// etcd's section of the flags of its client port.
const CLIENT_SECTION: &str = "client-transport-security";
const CLIENT_KEYS: [&str; 4] = ["cert-file", "key-file", "client-cert-auth", "trusted-ca-file"];

/// Keys that are not `allowed` are refused.
pub(super) fn parse(text: &str, allowed: &[String]) -> Result<Vec<Setting>, String> {
    settings(read(text)?, allowed)
}

/// A file of several such ones, each under a name.
pub(super) fn parse_each(
    text: &str,
    allowed: &[String],
) -> Result<BTreeMap<String, Vec<Setting>>, String> {
    let sections: BTreeMap<String, Option<BTreeMap<String, Value>>> = read(text)?;
    let of = |(name, section): (String, Option<BTreeMap<String, Value>>)| {
        let found = settings(section.unwrap_or_default(), allowed);
        let found = found.map_err(|why| format!("{name}: {why}"))?;
        Ok((name, found))
    };
    sections.into_iter().map(of).collect()
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error: serde_saphyr::Error| {
        let told = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        told.lines().next().unwrap_or_default().to_owned()
    })
}

fn settings(read: BTreeMap<String, Value>, allowed: &[String]) -> Result<Vec<Setting>, String> {
    let mut settings = Vec::new();
    for (key, value) in read {
        match value {
            Value::Map(section) if key == CLIENT_SECTION => of_section(section, &mut settings)?,
            _ if !allowed.contains(&key) => return Err(unknown(&key, allowed)),
            value => settings.extend(setting(key, value)?),
        }
    }
    Ok(settings)
}

fn of_section(section: BTreeMap<String, Value>, into: &mut Vec<Setting>) -> Result<(), String> {
    for (key, value) in section {
        if !CLIENT_KEYS.contains(&key.as_str()) {
            let keys = CLIENT_KEYS.join(", ");
            return Err(format!("{CLIENT_SECTION} has no key {key:?}; there is {keys}"));
        }
        into.extend(setting(key, value)?);
    }
    Ok(())
}

fn setting(key: String, value: Value) -> Result<Option<Setting>, String> {
    let value = match value {
        Value::Nothing(()) => return Ok(None),
        value => text(&key, value)?,
    };
    Ok(Some(Setting { key, value }))
}

fn text(key: &str, value: Value) -> Result<String, String> {
    match value {
        Value::Bool(value) => Ok(value.to_string()),
        Value::Int(value) => Ok(value.to_string()),
        Value::Float(value) => Ok(value.to_string()),
        Value::Text(value) => Ok(value),
        Value::List(values) => {
            let values = values.into_iter().map(|value| text(key, value));
            Ok(values.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        Value::Map(_) => Err(format!("{key} is a value, and not a section")),
        Value::Nothing(()) => Ok(String::new()),
    }
}

fn unknown(key: &str, allowed: &[String]) -> String {
    format!("there is no key {key:?}; there is {CLIENT_SECTION}, {}", allowed.join(", "))
}

/// The command line with what the file says before it, as far as it does not say so itself. `alternatives` are flags that mean the same, so
/// that one on the command line leaves the other one of the file out.
pub(super) fn with_command_line(
    settings: &[Setting],
    line: &[OsString],
    alternatives: &[[&str; 2]],
) -> Vec<OsString> {
    let is_given = |key: &str| {
        let flag = format!("--{key}");
        let with_value = format!("{flag}=");
        line.iter()
            .filter_map(|word| word.to_str())
            .any(|word| word == flag || word.starts_with(&with_value))
    };
    let is_in_the_way = |key: &str| {
        let pairs = alternatives.iter();
        let others = pairs.filter(|pair| pair.contains(&key)).flatten();
        is_given(key) || others.copied().any(is_given)
    };
    let of_file = settings.iter().filter(|setting| !is_in_the_way(&setting.key));
    of_file.map(Setting::word).chain(line.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Vec<String> {
        [
            "name",
            "quota-backend-bytes",
            "listen-client-urls",
            "port",
            "client-cert-auth",
            "cert-file",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[track_caller]
    fn check(text: &str, line: &str, expected: Result<&str, &str>) {
        let line: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let alternatives = [["port", "listen-client-urls"]];
        let words = parse(text, &allowed())
            .map(|settings| with_command_line(&settings, &line, &alternatives))
            .map(|words| words.join(std::ffi::OsStr::new(" ")).into_string().unwrap());
        match (&words, expected) {
            (Ok(words), Ok(expected)) => assert_eq!(words, expected, "{text}"),
            (Err(said), Err(told)) => assert!(said.contains(told), "{text}: {said}"),
            _ => panic!("{text}: {words:?}"),
        }
    }

    #[test]
    fn a_file_is_flags_before_those_of_the_command_line() {
        check("name: a", "--port 1", Ok("--name=a --port 1"));
        check("name: a", "--name b", Ok("--name b"));
        check("name: a", "--name=b", Ok("--name=b"));
        check("port: 1", "--listen-client-urls http://a", Ok("--listen-client-urls http://a"));
        check("quota-backend-bytes: -1", "", Ok("--quota-backend-bytes=-1"));
        check("name:", "--port 1", Ok("--port 1"));
        let list = "listen-client-urls: [http://a:1, http://b:2]";
        check(list, "", Ok("--listen-client-urls=http://a:1,http://b:2"));
        let section = "client-transport-security: {cert-file: c, client-cert-auth: true}";
        check(section, "", Ok("--cert-file=c --client-cert-auth=true"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let told = "there is no key \"nmae\"; there is client-transport-security, name, quota";
        check("nmae: a", "", Err(told));
        check("client-transport-security: {auto-tls: true}", "", Err("no key \"auto-tls\""));
        check("name: {a: b}", "", Err("not a section"));
        check("- a", "", Err(""));
        check("name: [", "", Err(""));
    }
}
