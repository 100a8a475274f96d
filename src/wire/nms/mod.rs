//! The data types of the NMS API (spec/nms 3), one file for each kind of resource. Written as structure-aware JSON, which
//! `http::represent` turns into XML for those who read that.

mod attributes;
mod bulk;
mod criteria;
mod event;
mod explanation;
mod flags;
mod folder;
mod object;
mod path;
mod reference;
mod selection;
mod subscription;

pub use attributes::{read_attributes, write_attributes};
pub use bulk::{BulkUpdate, FlagOperation, Which, read_bulk_delete, read_bulk_update, too_many};
pub use event::{EventListShape, event, reset_box};
pub use explanation::explanation;
pub use flags::{check_flag, flag_list, flags_of, read_flags};
pub use folder::{NewFolder, Shown, folder, name, read_folder, read_name};
pub use object::{object, read_object, read_object_list};
pub use path::{canonical_path, object_at, read_paths};
pub use reference::{TargetSource, folder_id, folder_of, object_id, read_references, read_target_source, reference};
pub use selection::{Selection, check_for_folders, found_folders, found_objects, read_selection};
pub use subscription::{
    NewSubscription, SubscriptionUpdate, parse_token, read_subscription, read_subscription_update, subscription,
    subscription_list,
};
