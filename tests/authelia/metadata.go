// The discovery document.

package authelia

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// discovery is the document of Authelia 4.39.20 at https://auth.example.test. It is generic: whatever is configured, it
// lists all algorithms and methods that the program knows, HS256 first.
//
//go:embed discovery.json
var discovery string

// metadata serves the two well-known documents. HEAD is refused.
func (s *Server) metadata(r *http.Request) answer {
	switch r.Method {
	case http.MethodOptions:
		return newAnswer(http.StatusNoContent, "", nil).with("Allow", "GET, OPTIONS", "Access-Control-Allow-Origin", "*")
	case http.MethodGet:
	default:
		return methodNotAllowed("GET, OPTIONS")
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(discovery, "https://auth.example.test", s.Issuer())), &document); err != nil {
		panic(fmt.Sprintf("authelia: decoding the metadata: %v", err))
	}
	s.misbehaviour.Metadata.apply(document)
	return jsonAnswer(http.StatusOK, document).with("Access-Control-Allow-Origin", "*")
}
