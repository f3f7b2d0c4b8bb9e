package admin

import (
	"context"
	"net/http"
	"time"
)

// StatusPath tells with GET how each gate is.
const StatusPath = "/romm_oidc/status"

// Status is how a gate is.
type Status struct {
	Gate     string   `json:"gate"`
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"client_id"`
	Origin   string   `json:"origin"` // the public one
	Provider Provider `json:"provider"`
	RomM     RomM     `json:"romm"`

	StorageAway      bool   `json:"storage_away"`            // it did not answer when it was last asked
	StorageError     string `json:"storage_error,omitempty"` // why nothing can be stored now
	SessionsInMemory int    `json:"sessions_in_memory"`
}

// Provider is what is known of the provider.
type Provider struct {
	MetadataRead time.Time `json:"metadata_read,omitzero"` // those that sign-ins use; zero: there are none
	Error        string    `json:"error,omitempty"`        // of the last attempt to read them
}

// RomM is what is known of RomM.
type RomM struct {
	Version string    `json:"version,omitempty"` // as it last said
	Seen    time.Time `json:"seen,omitzero"`     // when; zero: not since this process began
}

// Well reports whether everything answers that was asked.
func (s *Status) Well() bool { return s.Provider.Error == "" && !s.StorageAway && s.StorageError == "" }

func serveStatus(ctx context.Context, r *http.Request) (any, error) {
	gates, _, err := asked(r)
	if err != nil {
		return nil, err
	}
	all := make([]Status, 0, len(gates))
	for _, gate := range gates {
		all = append(all, gate.Status(ctx))
	}
	return all, nil
}
