// What is observed of the signing keys.

package op

import (
	"errors"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// EventNames returns the names of all events.
func EventNames() []string { return []string{eventRedeemed, eventRefused, eventUnknown, eventKeys} }

// Created returns when the newest signing key was made, zero if none is known yet.
func (k *Keys) Created() (newest time.Time) {
	if keys := k.loaded.Load(); keys != nil {
		for _, key := range keys.signing {
			if key.Created.After(newest) {
				newest = key.Created
			}
		}
	}
	return newest
}

// Unusable reports whether the keys in storage could not be used when they were
// last read.
func (k *Keys) Unusable() bool { return k.broken.Load() }

// note takes the result of a reading. That storage does not answer says nothing
// about the keys.
func (k *Keys) note(err error) {
	_, broken := errors.AsType[*keyring.DocumentError](err)
	if _, replaced := errors.AsType[*replacedError](err); broken || replaced || err == nil {
		k.broken.Store(broken)
	}
}
