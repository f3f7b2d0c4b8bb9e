// The doctor, Authelia, RomM and the running Caddy: each fault is seeded in the
// stand-ins, and the doctor names it.

package tests

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/doctor"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// ward is what the doctor looks at in these tests: an Authelia and a RomM in good
// health, which a test then harms.
type ward struct {
	authelia *authelia.Server
	romm     *romm.Server
	front    func(http.Handler) http.Handler // before Authelia
	config   *strings.Replacer               // of the Caddyfile
	running  *doctor.Running
	token    string // of RomM
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	lookup   func(context.Context, string) ([]string, error)
	change   func(*authelia.Options)
	rommTo   func(*romm.Options)
	behind   func(http.Handler) http.Handler // before RomM
	version  string
}

// examine runs the doctor for a ward, and returns its report.
func (w *ward) examine(t *testing.T) *doctor.Report {
	t.Helper()
	t.Setenv("OIDC_CLIENT_SECRET", "insecuresecret")
	ao := authelia.Options{Issuer: "https://auth.example.com", CookieDomain: "example.com", Clients: []authelia.Client{{
		ID: "romm", Secret: "insecuresecret", RedirectURIs: []string{"https://romm.example.com" + base}, Scopes: []string{"openid", "profile", "email"}, RequirePKCE: true,
	}}}
	ro := romm.Options{SecureCookies: true, CORSAllowedOrigins: []string{"https://romm.example.com"}, OIDC: romm.OIDC{
		Enabled: true, ClientID: "romm", ClientSecret: "insecuresecret", RedirectURI: "https://romm.example.com" + base,
		ClaimRoles: "romm_roles", RoleAdmin: "admin", RoleViewer: "user",
	}}
	if w.change != nil {
		w.change(&ao)
	}
	var counts struct{ known, unknown float64 }
	op := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, secret, _ := r.BasicAuth()
		switch {
		case strings.HasSuffix(r.URL.Path, "/token") && secret == "insecuresecret":
			counts.known++
			http.Error(rw, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		case strings.HasSuffix(r.URL.Path, "/token"):
			counts.unknown++
			http.Error(rw, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		default:
			at := "http://" + r.Host + base
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write([]byte(`{"issuer":"` + at + `","authorization_endpoint":"` + at + `/authorize","token_endpoint":"` + at + `/token","jwks_uri":"` + at + `/jwks","id_token_signing_alg_values_supported":["ES256"]}`))
		}
	}))
	defer op.Close()
	ro.OIDC.ServerURL = op.URL + base
	if w.rommTo != nil {
		w.rommTo(&ro)
	}
	if w.authelia == nil {
		w.authelia = authelia.New(ao)
	}
	if w.romm == nil {
		w.romm = romm.New(ro)
		w.romm.AddUser(root)
	}
	var portal, site http.Handler = w.authelia, w.romm
	if w.front != nil {
		portal = w.front(portal)
	}
	if w.behind != nil {
		site = w.behind(site)
	}
	portalURL, siteURL := serve(t, portal), serve(t, site)
	config := strings.NewReplacer("issuer https://auth.example.com", "issuer https://auth.example.com\n\t\tissuer_address "+portalURL, "romm:8080", strings.TrimPrefix(siteURL, "http://")).Replace(goodCaddyfile)
	if w.config != nil {
		config = w.config.Replace(config)
	}
	if w.running == nil {
		w.running = &doctor.Running{}
	}
	if w.running.TokenRequests == nil {
		w.running.TokenRequests = func(context.Context) (float64, float64, error) { return counts.known, counts.unknown, nil }
	}
	return diagnose(t, config, func(in *doctor.Input) {
		in.Lookup = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
		in.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "romm.example.com") {
				return nil, errors.New("connection refused")
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		in.Running, in.RommToken, in.Version = w.running, w.token, w.version
		if w.dial != nil {
			in.Dial = w.dial
		}
		if w.lookup != nil {
			in.Lookup = w.lookup
		}
	})
}

func TestDoctorNamesTheFault(t *testing.T) {
	refused := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
	for name, c := range map[string]struct {
		code string // empty: none
		harm func(*ward)
		want string // part of what was seen, or to be written
	}{
		"nothing": {"", func(*ward) {}, ""},
		"the name is unknown": {"authelia_dns", func(w *ward) {
			w.config = strings.NewReplacer("issuer_address http://127.0.0.1", "issuer_address http://authelia")
			w.lookup = unknownHost
		}, "no such host"},
		"Authelia is down":     {"authelia_unreachable", func(w *ward) { w.dial = refused }, "connection refused"},
		"Authelia's clock":     {"authelia_clock", func(w *ward) { w.front = dated(-5 * time.Minute) }, " slow"},
		"no provider":          {"authelia_metadata", func(w *ward) { w.front = answering("/.well-known/openid-configuration", http.NotFound) }, "answered 404"},
		"another authelia_url": {"authelia_forwarded", func(w *ward) { w.change = func(o *authelia.Options) { o.Issuer = "https://login.example.com" } }, "answered 400"},
		"an issuer with a slash": {"", func(w *ward) {
			metadata(authelia.Set("issuer", "https://auth.example.com/"))(w)
			w.config = strings.NewReplacer("issuer https://auth.example.com\n", "issuer https://auth.example.com/\n")
		}, ""},
		"another issuer":          {"authelia_issuer", metadata(authelia.Set("issuer", "https://login.example.com")), "issuer https://login.example.com"},
		"an endpoint without TLS": {"authelia_endpoints", metadata(authelia.Set("token_endpoint", "http://auth.example.com/api/oidc/token")), "token_endpoint"},
		"no keys": {"authelia_keys", func(w *ward) {
			w.front = answering("/jwks.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) })
		}, "0 keys"},
		"no PKCE":                     {"authelia_pkce", metadata(authelia.Without("code_challenge_methods_supported")), "[]"},
		"another client ID":           {"authelia_client_id", client(func(c *authelia.Client) { c.ID = "RomM" }), "invalid_client"},
		"a slash too many":            {"authelia_redirect_uri", client(func(c *authelia.Client) { c.RedirectURIs[0] += "/" }), "- 'https://romm.example.com/api/oauth/openid'"},
		"a scope too many":            {"authelia_scope", client(func(c *authelia.Client) { c.Scopes = []string{"openid", "profile"} }), "scopes openid profile"},
		"another secret":              {"authelia_client_secret", client(func(c *authelia.Client) { c.Secret = "another" }), "invalid_client"},
		"another way to authenticate": {"authelia_client_auth", client(func(c *authelia.Client) { c.AuthMethod = "client_secret_post" }), "client_auth post"},
		"too many failures": {"authelia_rate_limit", func(w *ward) {
			w.front = answering("/api/oidc/token", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
		}, "429"},
		"a page instead": {"authelia_refused", func(w *ward) {
			w.front = answering("/api/oidc/authorization", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
		}, "403"},
		"another parent domain": {"authelia_logout", func(w *ward) { w.change = func(o *authelia.Options) { o.CookieDomain = "" } }, "does not return"},

		"RomM is down": {"romm_unreachable", func(w *ward) {
			w.behind = answering("/api/heartbeat", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}, "EOF"},
		"RomM is starting": {"romm_unreachable", func(w *ward) {
			w.behind = answering("/api/heartbeat", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		}, "502"},
		"another service":           {"romm_not_romm", func(w *ward) { w.behind = answering("/api/heartbeat", http.NotFound) }, "404"},
		"an old RomM":               {"romm_version", func(w *ward) { w.behind = version("3.9.0"); w.config = withoutRoles }, "3.9.0"},
		"too old for roles":         {"romm_version_roles", func(w *ward) { w.behind = version("4.7.9") }, "4.7.9 with roles"},
		"OIDC is off":               {"romm_oidc_off", rommWith(func(o *romm.Options) { o.OIDC.Enabled = false }), "OIDC_ENABLED=true"},
		"Caddy is out of its reach": {"romm_cannot_reach_caddy", rommWith(func(o *romm.Options) { o.OIDC.ServerURL = "http://127.0.0.1:1" + base }), "OIDC_SERVER_APPLICATION_URL=http://caddy:9080/api/oauth/openid"},
		"RomM asks Authelia": {"romm_points_elsewhere", func(w *ward) {
			w.behind = answering("/api/login/openid", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://auth.example.com/api/oidc/authorization?client_id=romm", http.StatusFound)
			})
		}, "OIDC_SERVER_APPLICATION_URL=https://auth.example.com"},
		"RomM has another client":   {"romm_client_id", rommWith(func(o *romm.Options) { o.OIDC.ClientID = "other" }), "OIDC_CLIENT_ID=romm"},
		"RomM has another callback": {"romm_redirect_uri", rommWith(func(o *romm.Options) { o.OIDC.RedirectURI += "/" }), "OIDC_REDIRECT_URI=https://romm.example.com/api/oauth/openid"},
		"RomM has another secret":   {"romm_client_secret", rommWith(func(o *romm.Options) { o.OIDC.ClientSecret = "another" }), "OIDC_CLIENT_SECRET="},
		"RomM reads no roles":       {"romm_roles_off", rommWith(func(o *romm.Options) { o.OIDC.ClaimRoles = "" }), "OIDC_CLAIM_ROLES=romm_roles"},
		"a token request is lost": {"romm_token_request", func(w *ward) {
			w.running = &doctor.Running{TokenRequests: func(context.Context) (float64, float64, error) { return 0, 0, nil }}
		}, "no token request"},
		"RomM's clock":           {"romm_clock", func(w *ward) { w.behind = dated(5 * time.Minute) }, "fast"},
		"cookies without TLS":    {"romm_cookie_secure", rommWith(func(o *romm.Options) { o.SecureCookies = false }), "ROMM_SESSION_SECURE_COOKIE=true"},
		"no such variables yet":  {"", rommWith(func(o *romm.Options) { o.Version = "5.0.0" }), ""},
		"open to all sites":      {"romm_cors", rommWith(func(o *romm.Options) { o.CORSAllowedOrigins = nil }), "ROMM_CORS_ALLOWED_ORIGINS=https://romm.example.com"},
		"RomM's port is public":  {"romm_open_port", func(w *ward) { w.dial = thisMachine }, "RomM at http://romm.example.com:"},
		"no administrator":       {"romm_no_administrator", func(w *ward) { w.behind = withoutAdmin }, "setup page"},
		"a token without rights": {"romm_token", func(w *ward) { w.token = "rmm_none" }, "GET /api/users answered"},
		"an account without an address": {"romm_account_email", func(w *ward) {
			w.token = "rmm_any"
			w.behind = answering("/api/users", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`[{"username":"old","email":""},{"username":"new","email":"new@example.com"}]`))
			})
		}, "the account old"},
		"the same, before OIDC is on": {"romm_account_email", func(w *ward) {
			w.token = "rmm_any"
			w.rommTo = func(o *romm.Options) { o.OIDC.Enabled = false }
			w.behind = answering("/api/users", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`[{"username":"old","email":""}]`))
			})
		}, "the account old"},

		"the site is away": {"site_unreachable", func(*ward) {}, "connection refused"},
		"another server at the name": {"site_not_gate", func(w *ward) {
			w.siteAs(http.NotFoundHandler())
		}, "answered 404"},
		"a proxy changes the host": {"site_host_changed", func(w *ward) {
			w.siteAs(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusMisdirectedRequest)
				_, _ = w.Write([]byte(`{"detail":"","code":"wrong_host","reference":"ABC"}`))
			}))
		}, "421"},
		"an old Caddy": {"caddy_version", func(w *ward) { w.version = "v2.10.0" }, "v2.10.0"},

		"the storage is away":      {"caddy_storage", state(doctor.State{StorageError: "permission denied"}), "permission denied"},
		"the storage has no locks": {"caddy_storage_lock", state(doctor.State{StorageError: "locking storage: context deadline exceeded"}), "locking storage"},
		"the storage is slow":      {"caddy_storage_slow", state(doctor.State{StorageTook: 3 * time.Second}), "3s"},
		"a proxy that Caddy does not believe": {"site_proxy", func(w *ward) {
			w.siteAs(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Via", "1.1 proxy")
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write([]byte(`{"detail":"","code":"not_signed_in","reference":"ABC"}`))
			}))
		}, "Via: 1.1 proxy"},
		"the keys are broken": {"caddy_keys", state(doctor.State{KeysError: "not JSON"}), "not JSON"},
		"no metadata":         {"caddy_provider", state(doctor.State{ProviderError: "refused"}), "refused"},
		"re-checks fail":      {"caddy_background", state(doctor.State{Background: "recheck: refused"}), "recheck"},
	} {
		t.Run(name, func(t *testing.T) {
			w := new(ward)
			c.harm(w)
			report := w.examine(t)
			var found []string
			for _, finding := range report.Findings {
				if finding.Code == "site_unreachable" && c.code != "site_unreachable" || finding.Code == "config_http_origin" || finding.Code == "romm_cookie_secure" && c.code != finding.Code { // no Caddy runs
					continue
				}
				found = append(found, finding.Code)
				if finding.Code == c.code && !strings.Contains(finding.Seen+finding.Write, c.want) {
					t.Errorf("got %+v, want %q in it", finding, c.want)
				}
			}
			if c.code == "" && len(found) > 0 || c.code != "" && !slices.Contains(found, c.code) || len(found) > 2 {
				t.Errorf("got the findings %q, want %q: %+v", found, c.code, report.Findings)
			}
			if text := report.Findings; strings.Contains(strings.Join(found, " "), "insecuresecret") {
				t.Errorf("the report has the secret: %+v", text)
			}
		})
	}
}

var withoutRoles = strings.NewReplacer("roles {\n\t\t\tadmin you@example.com\n\t\t\tuser *\n\t\t}", "")

// A certificate that Caddy does not trust, and one that ends soon.
func TestDoctorAndCertificates(t *testing.T) {
	certificate, key := caddyprocess.Certificate(t, "auth.example.com") // valid for an hour
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(authelia.New(authelia.Options{Issuer: "https://auth.example.com"}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	defer server.Close()
	t.Setenv("OIDC_CLIENT_SECRET", "insecuresecret")
	for want, line := range map[string]string{"authelia_certificate": "", "authelia_certificate_soon": "\n\t\ttls_ca " + certificate} {
		report := diagnose(t, strings.Replace(goodCaddyfile, secretLine, secretLine+"\n\t\tissuer_address "+server.URL+line, 1), func(in *doctor.Input) {
			in.Lookup, in.Dial = func(context.Context, string) ([]string, error) { return nil, nil }, nil
		})
		if !slices.Contains(codes(report), want) {
			t.Errorf("got the findings %q, want %s: %+v", codes(report), want, report.Findings)
		}
	}
}

// A certificate of the site that this machine does not trust.
func TestDoctorAndTheSitesCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	w := &ward{dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "romm.example.com:443" {
			address = server.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	if report := w.examine(t); !slices.Contains(codes(report), "site_certificate") {
		t.Errorf("got the findings %q, want site_certificate: %+v", codes(report), report.Findings)
	}
}
