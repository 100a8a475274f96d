//! What clients in the field do, as scripts of plain HTTP and WebSocket calls, each of which reads answers as strictly
//! as its model does. The letter of the specification alone would not satisfy them; a change that breaks one of these
//! tests breaks clients.

mod in_step;
mod kandy;
mod samsung;
