package admin

import (
	"context"
	"net/http"
)

// RotatePath gives gates new keys with POST.
const RotatePath = "/romm_oidc/keys/rotate"

// Rotated is a gate that has new keys, or had some that wait to be used.
type Rotated struct {
	Gate string `json:"gate"`
}

func rotateKeys(ctx context.Context, r *http.Request) (any, error) {
	gates, _, err := asked(r)
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
