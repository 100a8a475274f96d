//! Tables for people.

use super::output::print_line;

/// Prints lines in columns, below a head.
pub(super) fn print_table<const N: usize>(
    head: [String; N],
    lines: impl Iterator<Item = [String; N]>,
) -> anyhow::Result<()> {
    let lines: Vec<[String; N]> = std::iter::once(head).chain(lines).collect();
    let widths: Vec<usize> =
        (0..N).map(|n| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0)).collect();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        print_line(cells.join("  ").trim_end())?;
    }
    Ok(())
}
