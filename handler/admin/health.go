// /romm_oidc/health: whether the gates work, for monitors.

package admin

import (
	"context"
	"net/http"
	"time"
)

// HealthPath is where GET tells whether the gates work, by its status: 200 if
// all are ready or degraded, 503 if one is broken. With the parameter strict,
// degraded is 503 too.
const HealthPath = "/romm_oidc/health"

// healthTimeout bounds the answer: monitors do not wait long.
const healthTimeout = 10 * time.Second

// State is how well a gate works.
type State string

// The states, from the best to the worst.
const (
	Ready    State = "ready"
	Degraded State = "degraded" // users who are signed in continue, and something fails
	Broken   State = "broken"   // new sign-ins fail for a fault on this side
)

// The codes of reasons. They are stable.
const (
	reasonStorage  = "storage_unavailable"
	reasonKeys     = "keys_unusable"
	reasonProvider = "provider_unavailable"
	reasonWork     = "background_failing"
)

// Reason is why a gate is not ready.
type Reason struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Health is how well a gate works, and why not better.
type Health struct {
	Gate    string   `json:"gate"`
	Health  State    `json:"health"`
	Reasons []Reason `json:"reasons"` // empty if it is ready
}

// Healths is the answer at HealthPath.
type Healths struct {
	Health State    `json:"health"` // of the gate that works worst
	Gates  []Health `json:"gates"`

	strict bool
}

// Health returns how well the gate works.
func (s *Status) Health() Health {
	h := Health{Gate: s.Gate, Health: Ready, Reasons: []Reason{}}
	add := func(state State, code, detail string) {
		h.Reasons = append(h.Reasons, Reason{code, detail})
		h.Health = worse(h.Health, state)
	}
	switch {
	case s.StorageError != "":
		add(Broken, reasonStorage, s.StorageError)
	case s.StorageAway:
		add(Broken, reasonStorage, "the last call failed")
	}
	if s.KeysError != "" {
		add(Broken, reasonKeys, s.KeysError)
	}
	if s.Provider.Error != "" {
		add(Degraded, reasonProvider, s.Provider.Error)
	}
	for _, work := range s.Background {
		if work.Error != "" {
			add(Degraded, reasonWork, work.Work+": "+work.Error)
		}
	}
	return h
}

func worse(a, b State) State {
	if a == Broken || b == Ready {
		return a
	}
	return b
}

// StatusCode returns the status of the answer.
func (h *Healths) StatusCode() int {
	if h.Health == Broken || h.strict && h.Health != Ready {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

func serveHealth(ctx context.Context, r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	gates, values, err := parse(r, "strict")
	if err != nil {
		return nil, err
	}
	value, strict := values["strict"]
	if value != "" && value != "true" {
		return nil, refuse(http.StatusBadRequest, "strict takes no value, and was given %q", value)
	}
	all := &Healths{Health: Ready, Gates: make([]Health, 0, len(gates)), strict: strict}
	for _, gate := range gates {
		status := gate.Status(ctx)
		health := status.Health()
		all.Gates = append(all.Gates, health)
		all.Health = worse(all.Health, health.Health)
	}
	return all, nil
}
