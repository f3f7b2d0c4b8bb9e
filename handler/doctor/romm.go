// RomM: reached where reverse_proxy reaches it.

package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// heartbeat is the part of GET /api/heartbeat that the doctor reads.
type heartbeat struct {
	System struct {
		Version string `json:"VERSION"`
		Wizard  bool   `json:"SHOW_SETUP_WIZARD"`
	} `json:"SYSTEM"`
	OIDC *struct {
		Enabled bool `json:"ENABLED"`
	} `json:"OIDC"`
}

// romm examines RomM behind a site.
func (e *examination) romm(ctx context.Context, s *site) {
	for _, dial := range s.dials {
		if strings.Contains(dial, "{") || strings.Contains(dial, "/") {
			e.skipped("RomM at %s: its address is known while Caddy runs only", dial)
			continue
		}
		beat := e.heartbeat(ctx, s, dial)
		if beat == nil {
			continue
		}
		if beat.OIDC == nil || beat.OIDC.Enabled {
			e.signIn(ctx, s, dial)
		}
		e.accounts(ctx, s, dial)
		e.openPort(ctx, s, dial)
	}
}

// ask sends a request to RomM, as Caddy would for a browser.
func (e *examination) ask(ctx context.Context, s *site, at string, fields ...string) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at, http.NoBody)
	if err != nil {
		return nil, nil, fmt.Errorf("making the request: %w", err)
	}
	r.Host = s.origin.Host
	r.Header.Set("X-Forwarded-Proto", s.origin.Scheme)
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return send(e.plain, r)
}

// heartbeat examines whether RomM answers, and what it says of itself. It returns
// nil if it does not.
func (e *examination) heartbeat(ctx context.Context, s *site, dial string) *heartbeat {
	line := e.line("reverse_proxy", dial)
	answer, body, err := e.ask(ctx, s, dial+"/api/heartbeat", "Origin", "https://another-site.invalid") //nolint:bodyclose // ask has closed it
	if err != nil {
		e.add("romm_unreachable", Finding{Site: s.name, Seen: err.Error(), Expected: "RomM at " + dial, Line: line})
		return nil
	}
	var beat heartbeat
	if json.Unmarshal(body, &beat) != nil || beat.System.Version == "" {
		code := "romm_not_romm"
		if answer.StatusCode >= http.StatusInternalServerError {
			code = "romm_unreachable" // its nginx answers before RomM does
		}
		e.add(code, Finding{Site: s.name, Seen: fmt.Sprintf("GET /api/heartbeat at %s answered %d, %s", dial, answer.StatusCode, answer.Header.Get("Content-Type")), Expected: "RomM's heartbeat", Line: line})
		return nil
	}
	e.checked("RomM %s at %s", beat.System.Version, dial)
	if difference, ok := clockDifference(answer); ok && difference.Abs() > skew {
		e.add("romm_clock", Finding{Site: s.name, Seen: "RomM's clock is " + offset(difference), Expected: "the same time"})
	}
	v, ok := parseVersion(beat.System.Version)
	switch {
	case ok && slices.Compare(v, []int{3, 10, 0}) < 0:
		e.add("romm_version", Finding{Site: s.name, Seen: "RomM " + beat.System.Version, Expected: "3.10 or later"})
	case ok && s.settings.Roles != nil && slices.Compare(v, []int{4, 8, 0}) < 0:
		e.add("romm_version_roles", Finding{Site: s.name, Seen: "RomM " + beat.System.Version + " with roles", Expected: "4.8 or later", Line: e.line("roles", "{")})
	}
	if beat.System.Wizard {
		e.add("romm_no_administrator", Finding{Site: s.name, Seen: "RomM shows its setup page", Expected: "an administrator"})
	}
	if !ok || slices.Compare(v, []int{5, 1, 0}) >= 0 { // earlier releases have no variables for it
		e.browserRules(s, answer)
	}
	if beat.OIDC != nil && !beat.OIDC.Enabled {
		e.add("romm_oidc_off", Finding{Site: s.name, Seen: "RomM says that OpenID Connect is off", Expected: "on", Line: "RomM's environment", Write: "OIDC_ENABLED=true"})
	}
	return &beat
}

// browserRules examines what RomM's answer tells browsers about other sites and cookies.
func (e *examination) browserRules(s *site, answer *http.Response) {
	if allowed := answer.Header.Get("Access-Control-Allow-Origin"); allowed == "https://another-site.invalid" || allowed == "*" {
		e.add("romm_cors", Finding{Site: s.name, Seen: "Access-Control-Allow-Origin: " + allowed, Expected: "none for other sites", Line: "RomM's environment", Write: "ROMM_CORS_ALLOWED_ORIGINS=" + s.origin.String()})
	}
	for _, cookie := range answer.Cookies() {
		if cookie.Secure != s.origin.Secure() {
			e.add("romm_cookie_secure", Finding{Site: s.name, Seen: fmt.Sprintf("RomM's cookie with Secure: %v", cookie.Secure), Expected: strconv.FormatBool(s.origin.Secure()), Line: "RomM's environment", Write: "ROMM_SESSION_SECURE_COOKIE=" + strconv.FormatBool(s.origin.Secure())})
		}
	}
}

// parseVersion reads a version such as 5.2.0 or 5.1.1-beta.1.
func parseVersion(text string) ([]int, bool) {
	release, _, _ := strings.Cut(strings.TrimPrefix(text, "v"), "-")
	var version []int
	for part := range strings.SplitSeq(release, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, false
		}
		version = append(version, n)
	}
	return version, true
}

// signIn has RomM begin a sign-in, and reads its variables off the way to its
// provider.
func (e *examination) signIn(ctx context.Context, s *site, dial string) {
	if e.in.Running == nil {
		e.skipped("RomM's variables: RomM reads its provider's metadata from a running Caddy. Run the doctor again once Caddy runs, with its admin API on")
		return
	}
	answer, _, err := e.ask(ctx, s, dial+"/api/login/openid") //nolint:bodyclose // ask has closed it
	if err != nil {
		e.add("romm_unreachable", Finding{Site: s.name, Seen: err.Error(), Expected: "RomM's sign-in"})
		return
	}
	want := strings.TrimSuffix(first(s.inside, s.origin.String()), "/") + request.Base
	location, err := answer.Location()
	if err != nil {
		e.add("romm_cannot_reach_caddy", Finding{Site: s.name, Seen: "RomM answered its sign-in with " + answer.Status, Expected: "a redirect to its provider", Line: "RomM's environment", Write: "OIDC_SERVER_APPLICATION_URL=" + want})
		return
	}
	query := location.Query()
	env := func(code, variable, seen, value string) {
		e.add(code, Finding{Site: s.name, Seen: variable + "=" + seen, Expected: variable + "=" + value, Line: "RomM's environment", Write: variable + "=" + value})
	}
	switch {
	case !strings.Contains(location.Path, request.Base):
		env("romm_points_elsewhere", "OIDC_SERVER_APPLICATION_URL", location.Scheme+"://"+location.Host, want)
		return
	case query.Get("client_id") != s.settings.ClientID:
		env("romm_client_id", "OIDC_CLIENT_ID", query.Get("client_id"), s.settings.ClientID)
		return
	case query.Get("redirect_uri") != s.settings.RedirectURI:
		env("romm_redirect_uri", "OIDC_REDIRECT_URI", query.Get("redirect_uri"), s.settings.RedirectURI)
		return
	case s.settings.Roles != nil && !slices.Contains(strings.Fields(query.Get("scope")), "romm_roles"):
		env("romm_roles_off", "OIDC_CLAIM_ROLES", strings.Join(strings.Fields(query.Get("scope"))[min(3, len(strings.Fields(query.Get("scope")))):], " "), "romm_roles")
	}
	back := dial + request.Base + "?" + url.Values{"code": {"doctor"}, "state": {query.Get("state")}}.Encode()
	e.tokenOfRomM(ctx, s, back, sessionIn(answer))
}

func first(list []string, fallback string) string {
	for _, address := range list {
		if !strings.HasSuffix(address, "//") {
			return address
		}
	}
	return fallback
}

// sessionIn returns the Cookie header field with the session that RomM's answer
// began.
func sessionIn(answer *http.Response) string {
	for _, c := range answer.Cookies() {
		if c.Name == "romm_session" {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// tokenOfRomM finishes RomM's sign-in at back, which has a code that does not
// exist, and watches how its token request arrives.
func (e *examination) tokenOfRomM(ctx context.Context, s *site, back, cookie string) {
	known, unknown, err := e.in.Running.TokenRequests(ctx)
	if err != nil {
		e.skipped("RomM's client secret: %v", err)
		return
	}
	if _, _, err := e.ask(ctx, s, back, "Cookie", cookie); err != nil { //nolint:bodyclose // ask has closed it
		e.add("romm_unreachable", Finding{Site: s.name, Seen: err.Error(), Expected: "RomM's sign-in"})
		return
	}
	knownNow, unknownNow, err := e.in.Running.TokenRequests(ctx)
	switch {
	case err != nil || knownNow > known:
		e.checked("RomM: its variables, its secret, its way to Caddy")
	case unknownNow > unknown:
		e.add("romm_client_secret", Finding{Site: s.name, Seen: "RomM's token request had another secret", Expected: "the secret of romm_oidc", Line: "RomM's environment", Write: "OIDC_CLIENT_SECRET=(the value of romm_client_secret or client_secret)"})
	default:
		e.add("romm_token_request", Finding{Site: s.name, Seen: "no token request of RomM arrived", Expected: "one"})
	}
}

// accounts looks for accounts without an e-mail address.
func (e *examination) accounts(ctx context.Context, s *site, dial string) {
	if e.in.RommToken == "" {
		e.skipped("RomM's accounts: give --romm-token a token of an administrator")
		return
	}
	answer, body, err := e.ask(ctx, s, dial+"/api/users", "Authorization", "Bearer "+e.in.RommToken) //nolint:bodyclose // ask has closed it
	var users []struct {
		Username string `json:"username"`
		Email    string `json:"email"`
	}
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New("GET /api/users answered " + answer.Status)
	}
	if err == nil {
		err = json.Unmarshal(body, &users)
	}
	if err != nil {
		e.add("romm_token", Finding{Site: s.name, Seen: err.Error(), Expected: "the list of users"})
		return
	}
	e.checked("RomM: %d accounts", len(users))
	for _, user := range users {
		if user.Email == "" {
			e.add("romm_account_email", Finding{Site: s.name, Seen: "the account " + user.Username + " without an e-mail address", Expected: "the address that its user has at Authelia"})
		}
	}
}

// openPort tries RomM's port at the public name.
func (e *examination) openPort(ctx context.Context, s *site, dial string) {
	public, port := url.URL{Host: s.origin.Host}, url.URL{Host: dial}
	if public.Hostname() == port.Hostname() || port.Port() == "" || port.Port() == public.Port() || slices.Contains([]string{"localhost", "127.0.0.1"}, public.Hostname()) {
		return
	}
	if _, err := e.in.Lookup(ctx, public.Hostname()); err != nil {
		return
	}
	answer, body, err := e.ask(ctx, s, public.Hostname()+":"+port.Port()+"/api/heartbeat") //nolint:bodyclose // ask has closed it
	var beat heartbeat
	if err == nil && answer.StatusCode == http.StatusOK && json.Unmarshal(body, &beat) == nil && beat.System.Version != "" {
		e.add("romm_open_port", Finding{Site: s.name, Seen: "RomM at http://" + public.Hostname() + ":" + port.Port(), Expected: "no answer", Line: "ports of RomM in compose.yml"})
	}
}
