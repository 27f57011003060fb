//! Plain text tables, with columns as wide as their widest cell and two blanks between them.

/// Renders rows of cells. The first row has the headings. Columns of numbers are aligned right, the others left.
pub(crate) fn render(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let is_number = |cell: &String| cell.starts_with(|first: char| first.is_ascii_digit()) || cell.is_empty();
    let is_numeric: Vec<bool> = (0..columns)
        .map(|column| {
            rows.iter()
                .skip(1)
                .filter_map(|row| row.get(column))
                .all(is_number)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .zip(&is_numeric)
            .map(|((cell, &width), is_numeric)| match is_numeric {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_are_aligned_right() {
        let rows = [
            ["step", "s", "result"].map(str::to_owned).to_vec(),
            ["a", "12", "passed"].map(str::to_owned).to_vec(),
            ["b", "7", "no"].map(str::to_owned).to_vec(),
        ];
        assert_eq!(
            render(&rows),
            "step   s  result\na     12  passed\nb      7  no\n"
        );
    }
}
