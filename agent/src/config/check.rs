//! Checks of single values: each refusal carries line, key, value and what is allowed.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;

use super::ConfigError;

/// The text under check, for line numbers.
pub(super) struct Checker<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Checker<'_> {
    pub(super) fn refuse(
        &self,
        key: &str,
        value: &Spanned<impl std::fmt::Debug>,
        allowed: &str,
    ) -> ConfigError {
        ConfigError::Value {
            path: self.path.to_owned(),
            line: self.line_of(value.span().start),
            key: key.to_owned(),
            value: format!("{:?}", value.get_ref()),
            allowed: allowed.to_owned(),
        }
    }

    /// A whole number in `range`, or the default where the key is absent.
    pub(super) fn int<T>(
        &self,
        key: &str,
        value: Option<Spanned<i64>>,
        default: T,
        range: RangeInclusive<i64>,
    ) -> Result<T, ConfigError>
    where
        T: TryFrom<i64>,
    {
        let Some(value) = value else {
            return Ok(default);
        };
        let allowed = || format!("{} to {}", range.start(), range.end());
        if !range.contains(value.get_ref()) {
            return Err(self.refuse(key, &value, &allowed()));
        }
        T::try_from(*value.get_ref()).ok().ok_or_else(|| self.refuse(key, &value, &allowed()))
    }

    pub(super) fn float(
        &self,
        key: &str,
        value: Option<Spanned<f64>>,
        default: f64,
        range: RangeInclusive<f64>,
    ) -> Result<f64, ConfigError> {
        match value {
            None => Ok(default),
            Some(value) if range.contains(value.get_ref()) => Ok(value.into_inner()),
            Some(value) => {
                Err(self.refuse(key, &value, &format!("{} to {}", range.start(), range.end())))
            }
        }
    }

    /// An absolute path without `..`, or the default.
    pub(super) fn absolute(
        &self,
        key: &str,
        value: Option<Spanned<String>>,
        default: &str,
    ) -> Result<String, ConfigError> {
        let Some(value) = value else {
            return Ok(default.to_owned());
        };
        let text = value.get_ref();
        let plain = text.starts_with('/')
            && !text.contains('\0')
            && !text.split('/').any(|part| part == ".." || part == ".");
        match plain {
            true if text.len() > 1 => Ok(text.trim_end_matches('/').to_owned()),
            true => Ok(text.clone()),
            false => Err(self.refuse(key, &value, "an absolute path without . and ..")),
        }
    }

    pub(super) fn parsed<T>(
        &self,
        key: &str,
        value: &Spanned<String>,
        allowed: &str,
    ) -> Result<T, ConfigError>
    where
        T: FromStr,
        T::Err: Display,
    {
        value
            .get_ref()
            .parse()
            .map_err(|error: T::Err| self.refuse(key, value, &format!("{allowed} ({error})")))
    }

    fn line_of(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        before.bytes().filter(|byte| *byte == b'\n').count() + 1
    }
}
