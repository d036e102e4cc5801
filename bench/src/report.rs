//! From runs to tables: medians, ratios within a round, and the targets of clws.

use serde_json::{Value, json};

use crate::scenario::{Layer, Scenario};
use crate::server::Server;

/// One run of one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Microseconds of server CPU time per message.
    pub micros: f64,
    /// Messages per second of wall time.
    pub per_second: f64,
    /// Bytes of one answer, with its frame's header and without TLS.
    pub bytes: f64,
    /// Share of the wall time the server was ready but something else had its core.
    pub waited: f64,
}

/// The runs of one scenario: for each server, one per round.
#[derive(Debug)]
pub(crate) struct Table {
    scenario: &'static Scenario,
    rows: Vec<(Server, Vec<Run>)>,
}

/// Ratios to another server over the rounds.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    median: f64,
    min: f64,
    max: f64,
}

impl Table {
    /// A table without runs.
    pub(crate) fn new(scenario: &'static Scenario, servers: &[Server]) -> Self {
        Self { scenario, rows: servers.iter().map(|server| (*server, Vec::new())).collect() }
    }

    /// Adds the next round's run of the server at `place`.
    pub(crate) fn push(&mut self, place: usize, run: Run) {
        self.rows[place].1.push(run);
    }

    fn runs(&self, server: Server) -> Option<&[Run]> {
        self.rows.iter().find(|row| row.0 == server).map(|row| row.1.as_slice())
    }

    /// Median microseconds per message.
    fn micros(&self, server: Server) -> Option<f64> {
        Some(median(self.runs(server)?.iter().map(|run| run.micros)))
    }

    /// The server that others are compared with.
    fn base(&self) -> Server {
        match self.scenario.layer {
            Layer::Plain | Layer::Tls => Server::Bare,
            Layer::Deflate { .. } => Server::Clws,
        }
    }

    fn ratio(&self, server: Server) -> Option<Ratio> {
        self.ratio_to(self.base(), server)
    }

    /// Each round's run against the same round's base: what disturbs both cancels out.
    fn ratio_to(&self, base: Server, server: Server) -> Option<Ratio> {
        let base = self.runs(base)?;
        let runs = self.runs(server)?;
        let ratios = || runs.iter().zip(base).map(|(run, base)| run.micros / base.micros);
        Some(Ratio {
            median: median(ratios()),
            min: ratios().fold(f64::INFINITY, f64::min),
            max: ratios().fold(0.0, f64::max),
        })
    }

    /// Prints the scenario, one line per server.
    pub(crate) fn print(&self) {
        println!("\n{}", self.scenario.title);
        println!(
            "{:<18} {:>12} {:>12} {:>9} {:>8}  {:<13} {:>6}",
            "server",
            "µs CPU/msg",
            "messages/s",
            "B/answer",
            format!("× {}", self.base().name()),
            "min…max",
            "waited"
        );
        for (server, runs) in &self.rows {
            let micros = median(runs.iter().map(|run| run.micros));
            let rate = median(runs.iter().map(|run| run.per_second));
            let bytes = median(runs.iter().map(|run| run.bytes));
            let waited = median(runs.iter().map(|run| run.waited));
            let (ratio, spread) = self.ratio(*server).map_or_else(Default::default, |ratio| {
                (format!("{:.2}", ratio.median), format!("{:.2}…{:.2}", ratio.min, ratio.max))
            });
            println!(
                "{:<18} {micros:>12.3} {rate:>12.0} {bytes:>9.0} {ratio:>8}  {spread:<13} {:>4.0} %",
                server.name(),
                waited * 100.0
            );
        }
    }

    /// What clws has to keep here and whether it did; nothing where it was not measured.
    fn verdicts(&self) -> Vec<(String, bool)> {
        match self.scenario.layer {
            Layer::Plain | Layer::Tls => self.verdicts_beside_bare(),
            Layer::Deflate { .. } => self.verdicts_beside_others(),
        }
    }

    /// With compression: how much more CPU time the others take, which is how many more messages
    /// clws answers on a core.
    fn verdicts_beside_others(&self) -> Vec<(String, bool)> {
        let others = self.rows.iter().filter(|row| row.0 != Server::Clws);
        let verdict = |(server, _): &(Server, Vec<Run>)| {
            let (ratio, target) = (self.ratio(*server)?.median, self.scenario.target);
            let text = format!("clws {ratio:.2} × {}, at least {target:.2}", server.name());
            Some((text, ratio >= target))
        };
        others.filter_map(verdict).collect()
    }

    fn verdicts_beside_bare(&self) -> Vec<(String, bool)> {
        let mut verdicts = Vec::new();
        if let Some(ratio) = self.ratio(Server::Clws) {
            let target = self.scenario.target;
            let text = format!("clws {:.2} × bare, at most {target:.2}", ratio.median);
            verdicts.push((text, ratio.median <= target));
        }
        for (server, _) in &self.rows {
            if matches!(server, Server::Bare | Server::Clws) {
                continue;
            }
            if let Some(ratio) = self.ratio_to(*server, Server::Clws) {
                let text = format!("clws {:.2} × {}, below 1", ratio.median, server.name());
                verdicts.push((text, ratio.median < 1.0));
            }
        }
        verdicts
    }

    fn json(&self) -> Value {
        let servers = self.rows.iter().map(|(server, runs)| {
            let ratio = self.ratio(*server);
            json!({
                "server": server.name(),
                "micros_per_message": self.micros(*server),
                "messages_per_second": median(runs.iter().map(|run| run.per_second)),
                "bytes_per_answer": median(runs.iter().map(|run| run.bytes)),
                "ratio": ratio.map(|ratio| ratio.median),
                "ratio_min": ratio.map(|ratio| ratio.min),
                "ratio_max": ratio.map(|ratio| ratio.max),
                "rounds": runs.iter().map(|run| json!({
                    "micros_per_message": run.micros,
                    "messages_per_second": run.per_second,
                    "waited": run.waited,
                })).collect::<Vec<_>>(),
            })
        });
        let targets = self.verdicts().into_iter().map(|(text, met)| json!([text, met]));
        json!({
            "scenario": self.scenario.title,
            "clients": self.scenario.clients,
            "ratio_to": self.base().name(),
            "payload_bytes": self.scenario.payload,
            "in_flight": self.scenario.in_flight,
            "servers": servers.collect::<Vec<_>>(),
            "targets": targets.collect::<Vec<_>>(),
        })
    }
}

/// Prints every target with `ok` or `MISS`; false when one is missed or none could be judged.
pub(crate) fn print_summary(tables: &[Table]) -> bool {
    println!("\nTargets");
    let mut judged = 0;
    let mut missed = 0;
    for table in tables {
        for (text, met) in table.verdicts() {
            judged += 1;
            missed += usize::from(!met);
            println!("{:<4}  {}: {text}", if met { "ok" } else { "MISS" }, table.scenario.title);
        }
    }
    match (judged, missed) {
        (0, _) => println!("none judged: clws was not measured"),
        (_, 0) => println!("all {judged} met"),
        _ => println!("{missed} of {judged} missed"),
    }
    judged > 0 && missed == 0
}

/// All tables, with every round's numbers.
pub(crate) fn to_json(tables: &[Table]) -> Value {
    tables.iter().map(Table::json).collect()
}

/// The middle value, or the mean of the middle two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{DEFLATE, PLAIN};

    fn table(rows: &[(Server, [f64; 3])]) -> Table {
        table_of(&PLAIN[0], rows)
    }

    fn table_of(scenario: &'static Scenario, rows: &[(Server, [f64; 3])]) -> Table {
        let servers: Vec<Server> = rows.iter().map(|row| row.0).collect();
        let mut table = Table::new(scenario, &servers);
        for (place, (_, micros)) in rows.iter().enumerate() {
            for micros in *micros {
                table.push(place, Run { micros, per_second: 1.0, bytes: 1.0, waited: 0.0 });
            }
        }
        table
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let table = table(&[
            (Server::Bare, [4.0, 8.0, 4.0]),
            (Server::Clws, [4.4, 8.0, 4.2]),
            // Its median is below ours, but not in most rounds.
            (Server::Fastwebsockets, [4.3, 9.0, 4.3]),
        ]);
        let ratio = table.ratio(Server::Clws).expect("bare was measured");
        assert!((ratio.median - 1.05).abs() < 1e-9);
        assert!((ratio.min - 1.0).abs() < 1e-9 && (ratio.max - 1.1).abs() < 1e-9);
        let met: Vec<bool> = table.verdicts().into_iter().map(|verdict| verdict.1).collect();
        assert_eq!(met, [true, true]);
    }

    #[test]
    fn slower_than_a_peer_is_a_miss() {
        let table = table(&[
            (Server::Bare, [4.0; 3]),
            (Server::Clws, [4.1; 3]),
            (Server::TokioWebsockets, [4.1; 3]),
        ]);
        let met: Vec<bool> = table.verdicts().into_iter().map(|verdict| verdict.1).collect();
        assert_eq!(met, [true, false]);
    }

    #[test]
    fn with_compression_the_others_are_compared_with_clws() {
        let table = table_of(&DEFLATE[0], &[(Server::Clws, [10.0; 3]), (Server::Yawc, [16.0; 3])]);
        let met: Vec<bool> = table.verdicts().into_iter().map(|verdict| verdict.1).collect();
        assert_eq!(met, [true]);
        let table = table_of(&DEFLATE[0], &[(Server::Clws, [10.0; 3]), (Server::Ws, [14.0; 3])]);
        assert!(!table.verdicts()[0].1);
    }

    #[test]
    fn without_clws_nothing_is_met() {
        let table = table(&[(Server::Bare, [4.0; 3])]);
        assert!(table.verdicts().is_empty());
        assert!(!print_summary(&[table]));
    }

    #[test]
    fn median_of_even_and_odd() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < 1e-9);
    }
}
