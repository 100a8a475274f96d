//! Verifying a token (RFC 7519, RFC 8725): pure.

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::keys::{Key, KeySet};
use super::scope::Scopes;
use crate::base::ids::UserId;

/// Largest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Kinds of tokens that are for us; an ID token or a logout token says another one.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];
/// Stands for the token's user in URLs; so no user can be called that.
pub const ACR_AUTH: &str = "acr:auth";

/// Who asks, as a token has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub user: UserId,
    /// What for.
    pub scopes: Scopes,
    /// Until when, leeway included.
    pub expires_at: DateTime<Utc>,
}

/// What a token must say.
#[derive(Debug, Clone)]
pub struct Rules {
    /// One of these, if there are any.
    pub issuers: Vec<String>,
    /// For one of these. Without any, a token that is meant for somebody in particular is refused.
    pub audiences: Vec<String>,
    /// The claim that names the user.
    pub user_claim: String,
    /// What a token may do that says nothing of scopes.
    pub default_scopes: Scopes,
    /// By how much clocks may differ, in seconds.
    pub leeway_seconds: u32,
}

/// Why a token is refused; its text is for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not three parts of base64url and JSON, too large, of another type, or with extensions that must be understood.
    #[error("malformed")]
    Malformed,
    /// Nobody here has a key of that name. (A newer set of keys may.)
    #[error("signed with an unknown key")]
    UnknownKey,
    /// It is not what the key signed, or not with that algorithm.
    #[error("the signature is not valid")]
    Signature,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Its time has not come.
    #[error("not valid yet")]
    NotYet,
    /// By somebody else.
    #[error("from another issuer")]
    Issuer,
    /// For somebody else.
    #[error("for another audience")]
    Audience,
    /// A claim that must be there is missing or is not what it should be.
    #[error("a claim is missing or unusable")]
    Claim,
}

/// Who a token says is asking, if it is genuine and in order.
pub fn verify(token: &str, keys: &KeySet, rules: &Rules) -> Result<Principal, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::Malformed);
    }
    // (`none` is no algorithm to the library: such a header is malformed.)
    let header = decode_header(token).map_err(|_| Refusal::Malformed)?;
    let is_ours = header.typ.as_ref().is_none_or(|of| TYPES.contains(&of.to_ascii_lowercase().as_str()));
    if header.crit.is_some() || !is_ours {
        return Err(Refusal::Malformed);
    }
    let validation = validation(&header, rules);
    let mut refusal = Refusal::UnknownKey;
    for Key { key, .. } in keys.candidates(header.kid.as_deref(), header.alg) {
        match decode::<Map<String, Value>>(token, key, &validation) {
            Ok(token) => return principal(&token.claims, rules),
            Err(fault) => refusal = refusal_of(fault.kind()),
        }
        if refusal != Refusal::Signature {
            break; // this key has signed it: another one will not make it better
        }
    }
    Err(refusal)
}

fn validation(header: &Header, rules: &Rules) -> Validation {
    let mut validation = Validation::new(header.alg);
    validation.leeway = rules.leeway_seconds.into();
    validation.validate_nbf = true;
    let mut required = vec!["exp"];
    if !rules.issuers.is_empty() {
        validation.set_issuer(&rules.issuers);
        required.push("iss");
    }
    if !rules.audiences.is_empty() {
        validation.set_audience(&rules.audiences);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    validation
}

fn refusal_of(fault: &ErrorKind) -> Refusal {
    match fault {
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYet,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Refusal::Claim,
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) => Refusal::Malformed,
        _ => Refusal::Signature,
    }
}

fn principal(claims: &Map<String, Value>, rules: &Rules) -> Result<Principal, Refusal> {
    let user = claims.get(&rules.user_claim).and_then(Value::as_str).ok_or(Refusal::Claim)?;
    let user = UserId::parse(user).ok().filter(|user| user.as_str() != ACR_AUTH).ok_or(Refusal::Claim)?;
    let expires = claims.get("exp").and_then(Value::as_f64).ok_or(Refusal::Claim)?;
    let expires_at = DateTime::from_timestamp(expires as i64, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let leeway = TimeDelta::seconds(rules.leeway_seconds.into());
    let expires_at = expires_at.checked_add_signed(leeway).unwrap_or(expires_at);
    Ok(Principal { user, scopes: scopes(claims).unwrap_or(rules.default_scopes), expires_at })
}

/// `scope` of RFC 8693, a text with blanks; some issuers write `scp`, or a list.
fn scopes(claims: &Map<String, Value>) -> Option<Scopes> {
    match claims.get("scope").or_else(|| claims.get("scp"))? {
        Value::String(text) => Some(Scopes::named(text.split_ascii_whitespace())),
        Value::Array(names) => Some(Scopes::named(names.iter().filter_map(Value::as_str))),
        _ => Some(Scopes::NONE),
    }
}
