// Errors that callers, or this package itself, decide on.

package session

import "errors"

// ErrEnded means that a session has already ended, on this node or another one.
// The caller treats the request as signed out.
var ErrEnded = errors.New("the session has ended")

var (
	// errNotConfigured means that Configure has not been called.
	errNotConfigured = errors.New("the session store has no storage")

	// errOutdated means that this node has not read the keyring for so long
	// that another node may have made the ticket with a newer secret. The
	// ticket cannot be called forged: storage is unreachable.
	errOutdated = errors.New("the keyring is too old to tell whether the ticket is genuine")

	// errStuck means that storage does not return from a call.
	errStuck = errors.New("storage has not answered for 10 seconds")

	// errBeingChanged means that another node has begun a change that must not
	// be made twice, and that nothing is known of its result yet. The caller
	// tries again later.
	errBeingChanged = errors.New("another node has begun this change and may not be done with it")

	// errNewer and errUnreadable are why a stored value does not open.
	errNewer      = errors.New("a newer version of this module wrote it")
	errUnreadable = errors.New("it is truncated or belongs to another gate")
)
