//! A server of clients that are posted to, by whichever node has the lease.

use std::sync::Arc;

use rand::RngExt;

use super::super::world::World;
use super::Shared;
use crate::support::stand_in::{Received, Reply, StandIn, reply};

/// How often a post is not taken.
const REFUSED: f64 = 0.02;

/// Notes what is posted to path `/n` as seen by client `n`; answers its URL.
///
/// Between accidents all posts to one client are as one socket. After one, whoever takes the lease cannot know what
/// was taken right before, and posts it again; so does a node that is asked to leave in the midst of a post.
pub async fn receive_posts(world: &Arc<World>, notes: &[Shared]) -> String {
    let (world, notes) = (world.clone(), notes.to_vec());
    let answer = move |post: &Received, before: usize| -> Reply {
        let running = world.running();
        if running && rand::rng().random_bool(REFUSED) {
            return reply(503, &[("retry-after", "0")], "");
        }
        let client: usize = post.path.trim_start_matches('/').parse().unwrap();
        let as_socket = match world.accidents() {
            Some(accidents) => u32::try_from(accidents).unwrap(),
            None => u32::MAX - u32::try_from(before).unwrap(), // every post by itself
        };
        notes[client].lock().unwrap().take(&String::from_utf8_lossy(&post.body), as_socket);
        reply(204, &[], "")
    };
    StandIn::start(answer).await.url
}
