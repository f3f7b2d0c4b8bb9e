// What the provider signs with, and on which hosts it is.

package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// hosts reports endpoints on another host than the issuer.
func (e *examination) hosts(s *site, md *metadata) {
	issuer, err := url.Parse(s.settings.Issuer)
	if err != nil {
		return // the issuer has been checked
	}
	endpoints := map[string]string{
		"authorization_endpoint": md.Authorization, "token_endpoint": md.Token, "userinfo_endpoint": md.Userinfo, "jwks_uri": md.Keys,
		"end_session_endpoint": md.EndSession, "pushed_authorization_request_endpoint": md.Push, "revocation_endpoint": md.Revocation,
		"introspection_endpoint": md.Introspection,
	}
	for _, name := range sorted(endpoints) {
		u, err := url.Parse(endpoints[name])
		if err == nil && u.Host != "" && !strings.EqualFold(u.Host, issuer.Host) {
			e.add("authelia_endpoint_host", Finding{Site: s.name, Seen: name + " is " + endpoints[name], Expected: "the host " + issuer.Host})
		}
	}
}

// algorithms reports algorithms that the metadata do not name.
func (e *examination) algorithms(s *site, md *metadata) {
	if alg := s.settings.IDTokenAlg; len(md.IDTokenAlgs) > 0 && !slices.Contains(md.IDTokenAlgs, alg) {
		e.add("authelia_id_token_alg", Finding{
			Site: s.name, Seen: fmt.Sprintf("id_token_signing_alg_values_supported is %q", md.IDTokenAlgs), Expected: alg,
			Line: e.settingLine("id_token_alg", alg), Write: writeOne("id_token_alg", md.IDTokenAlgs),
		})
	}
	if alg := s.settings.UserinfoAlg; alg != "none" && len(md.UserinfoAlgs) > 0 && !slices.Contains(md.UserinfoAlgs, alg) {
		e.add("authelia_userinfo_alg", Finding{
			Site: s.name, Seen: fmt.Sprintf("userinfo_signing_alg_values_supported is %q", md.UserinfoAlgs), Expected: alg,
			Line: e.settingLine("userinfo_alg", alg), Write: writeOne("userinfo_alg", append(slices.Clone(md.UserinfoAlgs), "none")),
		})
	}
}

// writeOne returns the line with the first algorithm that the setting takes, "" if
// there is none.
func writeOne(word string, algorithms []string) string {
	for _, algorithm := range algorithms {
		if algorithm == "none" && word == "userinfo_alg" || slices.Contains(flow.SignatureAlgorithms(), algorithm) {
			return word + " " + algorithm
		}
	}
	return ""
}

// mismatch reports what the running gate met at its last sign-in: the metadata of
// Authelia are the same for all clients.
func (e *examination) mismatch(s *site) {
	if e.in.Running == nil {
		return
	}
	for _, state := range e.in.Running.Gates {
		if state.Origin != s.origin.String() || state.Mismatch == "" {
			continue
		}
		finding := Finding{Site: s.name, Seen: state.Mismatch, Expected: "what the settings say"}
		for _, word := range []string{"id_token_alg", "userinfo_alg"} {
			// flow.AlgorithmError names the line in quotes.
			if _, rest, ok := strings.Cut(state.Mismatch, `"`+word+" "); ok {
				alg, _, _ := strings.Cut(rest, `"`)
				finding.Line, finding.Write = e.settingLine(word, ""), word+" "+alg
				e.add("authelia_"+word, finding)
				return
			}
		}
		e.clientMismatch(s, finding)
	}
}

// signs reports whether a key of that type and curve signs with alg.
func signs(alg, kty, crv string) bool {
	switch {
	case strings.HasPrefix(alg, "RS"), strings.HasPrefix(alg, "PS"):
		return kty == "RSA"
	case strings.HasPrefix(alg, "ES"):
		return kty == "EC" && (crv == "" || crv == map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[alg])
	}
	return kty == "OKP"
}

// keys examines the provider's keys.
func (e *examination) keys(ctx context.Context, s *site, client *http.Client, md *metadata) {
	answer, body, err := get(ctx, client, md.Keys) //nolint:bodyclose // send closed it
	var set struct {
		Keys []struct {
			Type  string `json:"kty"`
			Curve string `json:"crv"`
			Alg   string `json:"alg"`
			Use   string `json:"use"`
		} `json:"keys"`
	}
	if err == nil {
		err = json.Unmarshal(body, &set)
	}
	alg := s.settings.IDTokenAlg
	seen, write := fmt.Sprintf("%s has %d keys, none for %s", md.Keys, len(set.Keys), alg), ""
	switch {
	case err != nil:
		seen = err.Error()
	case answer.StatusCode != http.StatusOK:
		seen = fmt.Sprintf("%s answered %d", md.Keys, answer.StatusCode)
	}
	for _, key := range set.Keys {
		if key.Use == "enc" {
			continue
		}
		if (key.Alg == "" || key.Alg == alg) && signs(alg, key.Type, key.Curve) {
			return
		}
		for _, other := range flow.SignatureAlgorithms() {
			if write == "" && (key.Alg == "" || key.Alg == other) && signs(other, key.Type, key.Curve) {
				write = "id_token_alg " + other
			}
		}
	}
	e.add("authelia_keys", Finding{Site: s.name, Seen: seen, Expected: "a key for " + alg, Line: e.settingLine("id_token_alg", alg), Write: write})
}
