// Package session keeps who is signed in at a gate: an opaque ticket in the
// browser's cookie opens a session that lives in memory and in Caddy's storage.
//
// A session is three values in storage, each in a folder of its own. The
// record holds the tokens, sealed under a key derived from the ticket, so that
// whoever reads storage, the gate's keyring included, can use none of it. The
// head says whose session it is and is sealed under the keyring: lists, back-
// channel logout and the sweep read it. The last use is the third, written
// rarely. An ended session leaves a tombstone for a day, which is how the
// other nodes that share the storage learn of it.
package session
