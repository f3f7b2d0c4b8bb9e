// Requests that change accounts in RomM, and what they change for links and sessions.

package romm

import (
	"net/http"
	"strings"
)

// ChangesAccounts reports whether a request with method to path can change the
// accounts of RomM.
func (a *App) ChangesAccounts(method, path string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false
	}
	return path == "/api/users" || strings.HasPrefix(path, "/api/users/")
}
