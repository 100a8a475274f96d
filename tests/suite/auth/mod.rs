//! Who asks and what they may do, as somebody would try it who may not.

mod client;
mod grants;
mod jwks;
mod others;
mod program;
mod quotas;
pub mod scopes;
mod secrets;
mod sockets;
mod tokens;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tocsin::auth::config::Jwt;
use tocsin::config::Config;

use crate::support::client::Api;
use crate::support::postgres::Database;
use crate::support::server::Server;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "tocsin";
/// What a user's app asks for.
const EVERYDAY: &str = "oma_rest_notificationchannel.all_v1 oma_rest_nms.all_v1 tocsin.inbox tocsin.rooms";

/// Somebody who signs tokens, with a key on P-256.
struct Issuer {
    key: EncodingKey,
    kid: String,
    /// In PEM.
    public_key: String,
    jwk: Value,
}

impl Issuer {
    fn new(kid: &str) -> Issuer {
        let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref()).unwrap();
        let point = pair.public_key().as_ref(); // 4, x, y
        let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        let der = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
        let private = pem::encode(&pem::Pem::new("PRIVATE KEY", private.as_ref()));
        Issuer {
            key: EncodingKey::from_ec_pem(private.as_bytes()).unwrap(),
            kid: kid.to_owned(),
            public_key: pem::encode(&pem::Pem::new("PUBLIC KEY", der.as_ref())),
            jwk: json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y }),
        }
    }

    /// A token with these claims over the usual ones; null leaves one out.
    fn token_with(&self, header: Header, changes: Value) -> String {
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "scope": EVERYDAY,
            "exp": Utc::now().timestamp() + 600, "iat": Utc::now().timestamp(),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        encode(&header, &claims, &self.key).unwrap()
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) }
    }

    fn changed(&self, changes: Value) -> String {
        self.token_with(self.header(), changes)
    }

    fn token(&self, user: &str, scopes: &str) -> String {
        self.changed(json!({ "sub": user, "scope": scopes }))
    }

    /// Settings of a server that trusts this key.
    fn trusted(&self) -> (Jwt, NamedTempFile) {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &self.public_key).unwrap();
        let jwt = Jwt {
            key_file: Some(file.path().to_owned()),
            issuer: vec![ISSUER.to_owned()],
            audience: vec![AUDIENCE.to_owned()],
            leeway_seconds: 0,
            ..Jwt::default()
        };
        (jwt, file)
    }
}

/// A server that trusts an issuer.
struct Guarded {
    database: Database,
    server: Server,
    issuer: Issuer,
}

impl Guarded {
    async fn start() -> Guarded {
        Guarded::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Jwt)) -> Guarded {
        Guarded::start_as(|config| change(config.jwt.as_mut().unwrap())).await
    }

    async fn start_as(change: impl FnOnce(&mut Config)) -> Guarded {
        let (database, issuer) = (Database::new().await, Issuer::new("k1"));
        let (jwt, _file) = issuer.trusted();
        let server = Server::start_as(&database, |config| {
            config.jwt = Some(jwt);
            change(config);
        })
        .await;
        Guarded { database, server, issuer }
    }

    /// For a user with the everyday scopes.
    fn of(&self, user: &str) -> Api {
        self.scoped(user, EVERYDAY)
    }

    fn scoped(&self, user: &str, scopes: &str) -> Api {
        self.server.api.with_token(&self.issuer.token(user, scopes))
    }

    fn admin(&self) -> Api {
        self.scoped("root", "tocsin.admin")
    }

    /// Grants by the API.
    async fn grant(&self, grantee: &str, resource: &str, rights: &[&str]) -> i64 {
        let grant = json!({ "grantee": grantee, "resource": resource, "rights": rights });
        let answer = self.admin().post("/api/grants", grant).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["id"].as_i64().unwrap()
    }

    async fn revoke(&self, id: i64) {
        assert_eq!(self.admin().delete(&format!("/api/grants/{id}")).await.status, StatusCode::NO_CONTENT);
    }

    /// Writes a message into a box as an application does.
    async fn write(&self, box_id: &str, body: &str) {
        let insert = "insert into tocsin.messages (box_id, sender, recipient, body) values ($1, 's', 'r', $2)";
        self.database.connect().await.execute(insert, &[&box_id, &body]).await.unwrap();
    }
}
