//! kilobase.
