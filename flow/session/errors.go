package session

import "errors"

var (
	// ErrEnded says that a session had already ended, here or on another node:
	// the caller treats the request as signed out.
	ErrEnded = errors.New("the session has ended")

	// ErrNotConfigured says that the store has no storage yet: the caller
	// answers as if storage were away.
	ErrNotConfigured = errors.New("the session store has no storage")

	// ErrOutdated says that the keyring was not read for so long that another
	// node may have made the ticket with a newer one: the caller answers as if
	// storage were away, which it is.
	ErrOutdated = errors.New("the keyring is too old to tell whether the ticket is genuine")
)
