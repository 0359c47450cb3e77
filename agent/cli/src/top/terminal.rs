//! The real terminal: raw mode and the second screen on, a loop of snapshots and keys, and the
//! terminal as it was on every way out (key, signal, error, panic).

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{self, Event, KeyEventKind};
use ratatui::DefaultTerminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::feed::{self, Fed};
use super::keys::{self, Next};
use super::view::View;
use super::{colors, frame};
use crate::args::TopArgs;
use crate::client::connect;
use crate::exit::{Exit, Failure};

/// The age on the screen moves even when the agent is silent.
const REDRAW: Duration = Duration::from_millis(500);
/// How long the key thread may outlive the screen.
const KEY_POLL: Duration = Duration::from_millis(100);

pub(crate) async fn live(socket: &Path, args: TopArgs) -> Result<Exit, Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::NoTerminal);
    }
    let client = connect(socket).await?;
    let fed = feed::start(client, socket);
    let view = View::new(args.sort, args.filter, colors());
    // also installs the panic hook that restores the terminal
    let terminal = ratatui::try_init().map_err(|source| Failure::Terminal { source })?;
    let _restore = Restore;
    watch(terminal, view, fed).await.map_err(|source| Failure::Terminal { source })?;
    Ok(Exit::Ok)
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn watch(
    mut terminal: DefaultTerminal,
    mut view: View,
    mut fed: mpsc::Receiver<Fed>,
) -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (mut events, _keys) = read_keys();
    let mut redraw = tokio::time::interval(REDRAW);
    let mut came_at = Instant::now();
    loop {
        view.since = came_at.elapsed();
        terminal.draw(|frame| frame::draw(frame, &view))?;
        tokio::select! {
            Some(next) = fed.recv() => match next {
                Fed::Snapshot(snapshot) => {
                    came_at = Instant::now();
                    view.show(*snapshot);
                }
                Fed::Lost(why) => view.lost = Some(why),
            },
            event = events.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if keys::press(&mut view, key) == Next::Leave {
                        return Ok(());
                    }
                }
                Some(_) => {}
                None => return Ok(()),
            },
            _ = redraw.tick() => {}
            _ = term.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}

/// crossterm reads keys only by blocking, so a thread does; it ends soon after the guard is
/// dropped.
fn read_keys() -> (mpsc::Receiver<Event>, StopKeys) {
    let (to_screen, events) = mpsc::channel(16);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            match event::poll(KEY_POLL).and_then(|ready| ready.then(event::read).transpose()) {
                Ok(None) => {}
                Ok(Some(event)) => match to_screen.blocking_send(event) {
                    Ok(()) => {}
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    });
    (events, StopKeys(stop))
}

struct StopKeys(Arc<AtomicBool>);

impl Drop for StopKeys {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
