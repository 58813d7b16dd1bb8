//! The name that somebody probably meant.
//! Must not know what the names stand for.

/// Returns the candidate that differs from `text` by the fewest typos, unless all are far from it.
pub(crate) fn nearest<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let text = text.to_lowercase();
    let typos_max = text.chars().count().div_ceil(3).min(3);
    candidates
        .into_iter()
        .map(|it| (strsim::damerau_levenshtein(&text, &it.to_lowercase()), it))
        .filter(|(typos, _)| *typos <= typos_max)
        .min_by_key(|(typos, _)| *typos)
        .map(|(_, it)| it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_typos_find_the_name_and_many_find_none() {
        let names = ["region", "regions", "placements", "us-east-1", "eu-west-1"];
        let check = |text, expected| assert_eq!(nearest(text, names), expected, "{text}");
        check("regoin", Some("region"));
        check("PLACEMENT", Some("placements"));
        check("eu-wset-1", Some("eu-west-1"));
        check("mars", None);
        check("", None);
    }
}
