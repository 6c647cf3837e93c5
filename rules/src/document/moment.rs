//! Moments: a TOML date-time with an offset (RFC 3339) as seconds since 1970.

use time::{Date, Month};
use toml::value::{Datetime, Offset};

use crate::policy::Timestamp;

/// Why a date-time is not a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MomentError {
    /// It does not say where on earth it is meant.
    NoOffset,
    /// Parts of a second.
    Fraction,
    /// Before 1970, or no such day.
    OutOfRange,
}

impl MomentError {
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::NoOffset => "has no time zone",
            Self::Fraction => "has parts of a second",
            Self::OutOfRange => "is not after 1970",
        }
    }

    pub(super) fn help(self, written: &Datetime) -> String {
        match self {
            Self::NoOffset => format!("write `{written}Z` for UTC, or an offset like `{written}+01:00`"),
            Self::Fraction => "write whole seconds, like `2026-12-31T00:00:00Z`".to_owned(),
            Self::OutOfRange => {
                "write a moment that is still to come, like `2026-12-31T00:00:00Z`".to_owned()
            }
        }
    }
}

/// The moment of a date-time.
pub(super) fn read(written: &Datetime) -> Result<Timestamp, MomentError> {
    let (Some(date), Some(time), Some(offset)) = (written.date, written.time, written.offset) else {
        return Err(MomentError::NoOffset);
    };
    if time.nanosecond.is_some_and(|fraction| fraction != 0) {
        return Err(MomentError::Fraction);
    }
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let day = Month::try_from(date.month)
        .and_then(|month| Date::from_calendar_date(i32::from(date.year), month, date.day))
        .map_err(|_no_such_day| MomentError::OutOfRange)?;
    let clock =
        i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0));
    let days = i64::from(day.to_julian_day()) - JULIAN_DAY_OF_1970;
    let seconds = days * 86_400 + clock - minutes * 60;
    u64::try_from(seconds)
        .ok()
        .and_then(Timestamp::from_unix)
        .ok_or(MomentError::OutOfRange)
}

const JULIAN_DAY_OF_1970: i64 = 2_440_588;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_of_utc_wherever_they_were_written() {
        let unix = |text: &str| read(&text.parse().unwrap()).map(Timestamp::unix);
        assert_eq!(unix("2026-12-31T00:00:00Z"), Ok(1_798_675_200));
        assert_eq!(unix("2026-12-31T01:00:00+01:00"), Ok(1_798_675_200));
        assert_eq!(unix("2026-12-30 18:30:00-05:30"), Ok(1_798_675_200));
        assert_eq!(unix("2028-02-29T12:00:00Z"), Ok(1_835_438_400));
        assert_eq!(unix("1970-01-01T00:00:01Z"), Ok(1));
        assert_eq!(unix("1970-01-01T00:00:00Z"), Err(MomentError::OutOfRange));
        assert_eq!(unix("1969-12-31T00:00:00Z"), Err(MomentError::OutOfRange));
        assert_eq!(unix("2026-12-31T00:00:00"), Err(MomentError::NoOffset));
        assert_eq!(unix("2026-12-31"), Err(MomentError::NoOffset));
        assert_eq!(unix("2026-12-31T00:00:00.5Z"), Err(MomentError::Fraction));
    }
}
