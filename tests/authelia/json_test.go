// What the tests read from JSON objects and from JWTs.

package authelia_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// text returns v as a string, or "" if it is not one.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// payload decodes a JWS without verifying its signature.
func payload(t *testing.T, token any) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(text(token), ".")
	if len(parts) != 3 {
		t.Fatalf("token is %v, want a compact JWS", token)
	}
	for i, target := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, target); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// has checks members of a JSON object against their JSON text; "absent" means that the member must not be there.
func has(t *testing.T, got map[string]any, want map[string]string) {
	t.Helper()
	for name, value := range want {
		encoded, err := json.Marshal(got[name])
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := got[name]; !ok {
			encoded = []byte("absent")
		}
		if string(encoded) != value {
			t.Errorf("%s is %s, want %s", name, encoded, value)
		}
	}
}
