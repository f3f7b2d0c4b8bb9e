// /romm_oidc/keys: new keys on demand.

package admin

import (
	"context"
	"net/http"
)

// RotatePath is where POST creates new keys.
const RotatePath = "/romm_oidc/keys/rotate"

// Rotated is a gate with new keys that are about to come into use.
type Rotated struct {
	Gate string `json:"gate"`
}

func rotateKeys(ctx context.Context, r *http.Request) (any, error) {
	gates, _, err := parse(r)
	if err != nil {
		return nil, err
	}
	rotated := []Rotated{}
	for _, gate := range gates {
		if err := gate.Rotate(ctx); err != nil {
			return nil, unavailable(gate, err)
		}
		rotated = append(rotated, Rotated{gate.ID()})
	}
	return rotated, nil
}
