//! Date in the Gregorian calendar (UTC), and its Unix time.

use std::fmt;
use std::str::FromStr;

const SECONDS_PER_DAY: u64 = 86_400;
/// First second of the year 10000. Later years would need five digits.
const END: u64 = 253_402_300_800;

/// A day (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// First second of the day, in seconds of Unix time.
    pub(crate) fn seconds(self) -> u64 {
        self.days() * SECONDS_PER_DAY
    }

    /// The day of a Unix time. Returns `None` after the year 9999.
    pub(crate) fn of(seconds: u64) -> Option<Self> {
        if seconds >= END {
            return None;
        }
        let days = seconds / SECONDS_PER_DAY;
        // A year has at most 366 days, so this estimate is never too late.
        let mut date = Self {
            year: u16::try_from(days / 366 + 1970).ok()?,
            month: 1,
            day: 1,
        };
        let mut left = days - date.days();
        while left >= 365 + u64::from(date.is_leap_year()) {
            left -= 365 + u64::from(date.is_leap_year());
            date.year += 1;
        }
        while left >= u64::from(date.days_of_month()) {
            left -= u64::from(date.days_of_month());
            date.month += 1;
        }
        date.day += u8::try_from(left).ok()?;
        Some(date)
    }

    /// Days since 1970-01-01 in the Gregorian calendar.
    fn days(self) -> u64 {
        let before = u64::from(self.year) - 1;
        let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
        let years = (before - 1969) * 365 + leap_days(before) - leap_days(1969);
        let months: u64 = (1..self.month)
            .map(|month| u64::from(Self { month, ..self }.days_of_month()))
            .sum();
        years + months + u64::from(self.day) - 1
    }

    const fn is_leap_year(self) -> bool {
        self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400))
    }

    const fn days_of_month(self) -> u8 {
        match self.month {
            2 if self.is_leap_year() => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

impl FromStr for Date {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a date such as 2027-01-31, not before 1970-01-01";
        let mut parts = text.split('-');
        let mut part = |len: usize| {
            let part = parts.next().filter(|part| part.len() == len)?;
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u16>().ok().filter(|_| is_number)
        };
        let (Some(year), Some(month), Some(day), None) = (part(4), part(2), part(2), parts.next()) else {
            return Err(EXPECTED);
        };
        let date = |year, month, day| {
            Some(Self {
                year,
                month: u8::try_from(month).ok()?,
                day: u8::try_from(day).ok()?,
            })
        };
        date(year, month, day)
            .filter(|date| date.year >= 1970 && (1..=12).contains(&date.month))
            .filter(|date| (1..=date.days_of_month()).contains(&date.day))
            .ok_or(EXPECTED)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_convert_to_unix_time_and_back() {
        // The seconds are from `date -u -d DAY +%s`.
        for (day, seconds) in [
            ("1970-01-01", 0),
            ("1999-12-31", 946_598_400),
            ("2000-02-29", 951_782_400),
            ("2027-01-31", 1_801_353_600),
            ("2100-03-01", 4_107_542_400),
            ("9999-12-31", 253_402_214_400),
        ] {
            let date: Date = day.parse().expect("a day");
            assert_eq!(date.seconds(), seconds, "{day}");
            assert_eq!(Date::of(seconds + 86_399), Some(date), "{day}");
        }
        assert_eq!(Date::of(END), None);
        assert_eq!(Date::of(u64::MAX), None);
    }

    #[test]
    fn invalid_dates_are_refused() {
        for text in [
            "2027-02-29",
            "2100-02-29",
            "2027-13-01",
            "2027-00-01",
            "2027-01-32",
            "2027-1-1",
            "1969-12-31",
            "+027-01-01",
            "2027-01-01-01",
            "tomorrow",
            "",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }
}
