//! Where a region's API and login service are.
//!
//! The table is that of the vendor's own SDKs and command line. Everything follows from the domain; other
//! hosts (a gateway, a simulator) are configured as explicit URLs and never pass through here.

/// The API and login bases (`https://api.…`, `https://login.…`, no trailing slash) of an AWS region name
/// (`eu-west-1`, also spelt `eu_west_1` as the vendor's command line does for some) or of a domain
/// (`mypurecloud.ie`). Case and surrounding blanks do not matter.
pub fn urls(region: &str) -> Result<(String, String), UnknownRegion> {
    let wanted = region.trim().to_ascii_lowercase();
    let as_region = wanted.replace('_', "-");
    let domain = REGIONS
        .iter()
        .find(|(name, domain)| *name == as_region || *domain == wanted)
        .map(|(_, domain)| domain)
        .ok_or_else(|| UnknownRegion {
            region: region.to_owned(),
            nearest: nearest(&wanted),
        })?;
    Ok((format!("https://api.{domain}"), format!("https://login.{domain}")))
}

/// Neither an AWS region nor a domain that Genesys Cloud is known to run in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown region `{region}`; did you mean `{nearest}`?")]
pub struct UnknownRegion {
    /// What was asked for.
    pub region: String,
    /// The known region or domain that looks most like it.
    pub nearest: &'static str,
}

fn nearest(wanted: &str) -> &'static str {
    REGIONS
        .iter()
        .rev()
        .flat_map(|&(name, domain)| [name, domain])
        .max_by(|left, right| strsim::jaro_winkler(wanted, left).total_cmp(&strsim::jaro_winkler(wanted, right)))
        .expect("the table is not empty")
}

/// AWS region and domain.
const REGIONS: [(&str, &str); 18] = [
    ("us-east-1", "mypurecloud.com"),
    ("us-east-2", "use2.us-gov-pure.cloud"),
    ("us-west-2", "usw2.pure.cloud"),
    ("ca-central-1", "cac1.pure.cloud"),
    ("sa-east-1", "sae1.pure.cloud"),
    ("mx-central-1", "mxc1.pure.cloud"),
    ("eu-west-1", "mypurecloud.ie"),
    ("eu-west-2", "euw2.pure.cloud"),
    ("eu-central-1", "mypurecloud.de"),
    ("eu-central-2", "euc2.pure.cloud"),
    ("eusc-de-east-1", "edee1.eusc-pure.cloud"),
    ("ap-south-1", "aps1.pure.cloud"),
    ("ap-northeast-1", "mypurecloud.jp"),
    ("ap-northeast-2", "apne2.pure.cloud"),
    ("ap-northeast-3", "apne3.pure.cloud"),
    ("ap-southeast-1", "apse1.pure.cloud"),
    ("ap-southeast-2", "mypurecloud.com.au"),
    ("me-central-1", "mec1.pure.cloud"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_and_domains_lead_to_the_same_hosts() {
        for (wanted, api, login) in [
            (
                "eu-west-1",
                "https://api.mypurecloud.ie",
                "https://login.mypurecloud.ie",
            ),
            (
                "mypurecloud.ie",
                "https://api.mypurecloud.ie",
                "https://login.mypurecloud.ie",
            ),
            (
                " EU-West-1 ",
                "https://api.mypurecloud.ie",
                "https://login.mypurecloud.ie",
            ),
            (
                "me_central_1",
                "https://api.mec1.pure.cloud",
                "https://login.mec1.pure.cloud",
            ),
            (
                "mypurecloud.com.au",
                "https://api.mypurecloud.com.au",
                "https://login.mypurecloud.com.au",
            ),
        ] {
            assert_eq!(urls(wanted), Ok((api.to_owned(), login.to_owned())), "{wanted}");
        }
    }

    #[test]
    fn a_known_domain_within_something_else_is_not_known() {
        for wanted in [
            "evil.example/mypurecloud.ie",
            "mypurecloud.ie.evil.example",
            "@mypurecloud.ie",
            "",
        ] {
            assert!(urls(wanted).is_err(), "{wanted}");
        }
    }

    #[test]
    fn what_is_unknown_is_refused_with_the_nearest() {
        for (wanted, nearest) in [
            ("eu-west-3", "eu-west-1"),
            ("mypurecloud.i", "mypurecloud.ie"),
            ("eu-centrl-1", "eu-central-1"),
        ] {
            let refusal = urls(wanted).unwrap_err();
            assert_eq!(refusal.region, wanted);
            assert_eq!(refusal.nearest, nearest, "{wanted}");
        }
    }
}
