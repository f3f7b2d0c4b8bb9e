package admin

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
)

// RotatePath gives all gates new keys with POST, as if it were time.
const RotatePath = "/romm_oidc/keys/rotate"

func (API) rotateKeys(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("method not allowed")}
	}
	rotated := 0
	for _, gate := range Gates() {
		if err := gate.Rotate(r.Context()); err != nil {
			return fmt.Errorf("gate %s: %w", gate.ID(), err)
		}
		rotated++
	}
	return answer(w, map[string]int{"rotated": rotated})
}
