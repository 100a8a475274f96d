//! The data types of the NMS API (spec/nms 3), one file for each kind of resource. Written as structure-aware JSON, which
//! `http::represent` turns into XML for those who read that.

mod criteria;
mod event;
mod object;
mod reference;
mod selection;
mod subscription;

pub use event::{EventListShape, event, reset_box};
pub use object::object;
pub use reference::{folder_id, object_id, read_references, reference};
pub use selection::{Selection, check_for_folders, found_folders, found_objects, read_selection};
pub use subscription::{
    NewSubscription, SubscriptionUpdate, parse_token, read_subscription, read_subscription_update, subscription,
    subscription_list,
};
