//! The one printer of errors: `Display` of our errors never includes the source, so a log line or a
//! status that prints only the outermost one would hide the cause.

use std::error::Error;
use std::fmt;

/// `error` and its causes, outermost first, joined by `: `.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> Chain<'a> {
    Chain { outermost: error }
}

/// See [`chain`].
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    outermost: &'a (dyn Error + 'static),
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.outermost)?;
        let mut said = self.outermost.to_string();
        let mut cause = self.outermost.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // foreign errors often repeat their source
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::chain;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let mut below = None;
        for text in texts.iter().rev() {
            below = Some(Box::new(Layer { text, source: below }));
        }
        *below.expect("at least one layer")
    }

    #[track_caller]
    fn check(texts: &[&'static str], expect: &str) {
        assert_eq!(chain(&layers(texts)).to_string(), expect);
    }

    #[test]
    fn every_cause_is_said_once() {
        check(&["cannot start"], "cannot start");
        check(&["cannot start", "bind 9910", "in use"], "cannot start: bind 9910: in use");
        check(&["cannot start: in use", "in use"], "cannot start: in use");
        check(&["a: b", "b", "c"], "a: b: c");
    }
}
