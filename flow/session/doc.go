// Package session keeps the sessions of a gate: an opaque ticket in the
// browser's cookie opens a session that lives in memory and in Caddy's storage.
//
// A session is three values in storage, each in a folder of its own:
//
//   - The record holds the identity and the tokens. It is sealed under a key
//     derived from the ticket, so that an attacker who can read all of storage,
//     the gate's keyring included, can open no record.
//   - The head names the user and the provider's session. It is sealed under
//     the gate's keyring: lists, back-channel logout and the sweep read it.
//   - The last use is written rarely, at most 20 times per idle timeout.
//
// An ended session leaves a tombstone for a day. The other nodes that share the
// storage learn of the end from it.
//
// These are the verbs of the code. "Node" is one Caddy process:
//
//	End                end one session on this node, then in storage
//	EndUser, EndSID,   the same for each session that matches; ends what is
//	EndNamed, EndAll     in memory first, then what only storage has
//	EndIfRevokedSince  end a new session if such a call came during its sign-in
//	endLocal           end on this node only: abort streams, remove from memory,
//	                     mark the ID absent for good, call OnEnd
//	endHere            endLocal for an end that this node decides: call OnOwnEnd
//	persistEnd         end in storage only: write the tombstone, delete the rest
//	Session.end        set the ended flag and abort streams; touch nothing else
//	retryEnds          call persistEnd again after storage was unreachable
//	followEnds         call endLocal for the tombstones of other nodes
//	catchUp            call endLocal for what storage lost during an outage
//	Use, lieDown       begin and end the time in which this node looks for all that
//	Sweep              delete expired sessions and old tombstones from storage
//
//	insert, unlink     put into or take out of memory's table
//	evict              take a session out of memory that lives on in storage
//	remove             take an ended session out of memory, or delete its values
//	Hold, Release      register and unregister a stream that the end aborts
//	HandOver           move streams to the session that replaces this one
//	absentIDs.add      remember that an ID opens nothing
package session
