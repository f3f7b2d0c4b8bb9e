// /romm_oidc/status: the state of each gate.

package admin

import (
	"context"
	"net/http"
	"time"
)

// StatusPath is where GET returns the state of each gate.
const StatusPath = "/romm_oidc/status"

// Status is the state of a gate.
type Status struct {
	Gate     string   `json:"gate"`
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"client_id"`
	Origin   string   `json:"origin"`  // the public origin
	Version  string   `json:"version"` // of this module
	Nodes    []string `json:"nodes"`   // where the sessions in memory were signed in, and this one
	Provider Provider `json:"provider"`
	RomM     RomM     `json:"romm"`

	StorageAway      bool   `json:"storage_away"`            // the last read of the storage failed, or the last write
	StorageError     string `json:"storage_error,omitempty"` // why the storage is not writable
	StorageTook      int64  `json:"storage_took_ms"`         // to lock it, to write and to delete, just now
	KeysError        string `json:"keys_error,omitempty"`    // why the keyring or the signing keys cannot be used
	SessionsInMemory int    `json:"sessions_in_memory"`
	Background       []Work `json:"background"` // the work beside the requests
}

// Work is the state of one kind of work beside the requests.
type Work struct {
	Work         string    `json:"work"`
	FailingSince time.Time `json:"failing_since,omitzero"` // zero if it did not fail the last time
	Error        string    `json:"error,omitempty"`        // of the last failure since then
	Waiting      int       `json:"waiting"`                // pieces of work
}

// Provider is the state of the provider.
type Provider struct {
	MetadataRead time.Time `json:"metadata_read,omitzero"` // when the gate read the metadata in use; zero if it has none
	Error        string    `json:"error,omitempty"`        // of the last attempt to read the metadata

	Mismatch string `json:"mismatch,omitempty"` // what did not go together with the settings at the last sign-in or refresh
}

// RomM is the state of RomM.
type RomM struct {
	Version string    `json:"version,omitempty"` // from its last heartbeat
	Seen    time.Time `json:"seen,omitzero"`     // when that was; zero if not since the process started
}

// Well reports whether provider and storage answer, the provider goes together with
// the settings, and the keys can be used.
func (s *Status) Well() bool {
	return s.Provider.Error == "" && s.Provider.Mismatch == "" && !s.StorageAway && s.StorageError == "" && s.KeysError == ""
}

func serveStatus(ctx context.Context, r *http.Request) (any, error) {
	gates, _, err := parse(r)
	if err != nil {
		return nil, err
	}
	all := make([]Status, 0, len(gates))
	for _, gate := range gates {
		all = append(all, gate.Status(ctx))
	}
	return all, nil
}
