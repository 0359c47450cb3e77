//! Keys -> changes of the view. Pure.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::rows::SortKey;
use super::view::{Focus, View};

/// Rows that PgUp and PgDn move.
const PAGE_ROWS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    Leave,
}

pub(super) fn press(view: &mut View, key: KeyEvent) -> Next {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && matches!(key.code, KeyCode::Char('c' | 'd')) {
        return Next::Leave;
    }
    match view.focus {
        Focus::Filter => edit_filter(view, key.code),
        Focus::Help => view.focus = Focus::Table,
        Focus::Table => return command(view, key.code),
    }
    Next::Stay
}

fn edit_filter(view: &mut View, code: KeyCode) {
    match code {
        KeyCode::Enter => view.focus = Focus::Table,
        KeyCode::Esc => {
            view.filter.clear();
            view.focus = Focus::Table;
        }
        KeyCode::Backspace => {
            view.filter.pop();
        }
        KeyCode::Char(letter) => view.filter.push(letter),
        _ => {}
    }
    view.scroll = 0;
}

fn command(view: &mut View, code: KeyCode) -> Next {
    let last_row = view.snapshot.as_ref().map_or(0, |seen| seen.workloads.len().saturating_sub(1));
    match code {
        KeyCode::Esc | KeyCode::Char('q') => return Next::Leave,
        KeyCode::Char('?' | 'h') => view.focus = Focus::Help,
        KeyCode::Char('/') => view.focus = Focus::Filter,
        KeyCode::Char('r') => view.reversed = !view.reversed,
        KeyCode::Char('j') | KeyCode::Down => view.scroll += 1,
        KeyCode::Char('k') | KeyCode::Up => view.scroll = view.scroll.saturating_sub(1),
        KeyCode::PageDown => view.scroll += PAGE_ROWS,
        KeyCode::PageUp => view.scroll = view.scroll.saturating_sub(PAGE_ROWS),
        KeyCode::Home => view.scroll = 0,
        KeyCode::Char(letter) => {
            if let Some(sort) = sort_key(letter) {
                view.sort = sort;
                view.scroll = 0;
            }
        }
        _ => {}
    }
    view.scroll = view.scroll.min(last_row);
    Next::Stay
}

fn sort_key(letter: char) -> Option<SortKey> {
    match letter {
        'c' => Some(SortKey::Usage),
        'p' => Some(SortKey::P99),
        't' => Some(SortKey::Throttled),
        's' => Some(SortKey::Pressure),
        'm' => Some(SortKey::Memory),
        'n' => Some(SortKey::Name),
        'l' => Some(SortKey::Qos),
        _ => None,
    }
}
