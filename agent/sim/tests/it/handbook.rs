//! The worked examples of `docs/qos.md`: what the page says a document prints is what it prints.

use sim::simulate;

const PAGE: &str = include_str!("../../../../docs/qos.md");

/// The fenced blocks of a language, in order.
fn blocks<'a>(language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let rest = PAGE.split(fence.as_str()).skip(1);
    rest.map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

#[test]
fn every_example_prints_what_the_page_shows() {
    let (documents, answers) = (blocks("yaml"), blocks("json"));
    assert_eq!(
        (documents.len(), answers.len()),
        (5, 5),
        "an example for each level, and one bound"
    );
    for (document, answer) in documents.iter().zip(answers) {
        let printed = simulate(document, &|tree| Err(format!("no tree {tree} here")));
        assert_eq!(printed.lines, answer, "{document}");
    }
}

/// A level that the page forgets would be a level that nobody finds.
#[test]
fn every_level_and_inner_key_is_on_the_page() {
    use model::annotation::inner;
    for level in model::qos::QosLevel::ALL {
        assert!(PAGE.contains(&format!("## `{level}`")), "{level}");
    }
    for key in inner::ALL {
        assert!(PAGE.contains(&format!("`{key}`")), "{key}");
    }
}
