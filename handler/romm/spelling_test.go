// The spelling of paths: what may be written how, and that all servers read alike what is open.

package romm

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// With a credential, a path may be spelled in any way that all servers read
// alike. Names of files may be spelled in any way.
func TestSpellings(t *testing.T) {
	t.Parallel()
	app := appOf(t, "5.2.0", ClientsPassword, ClientsBearer)
	for access, paths := range map[application.Access][]string{
		application.Credential: {
			"/api/roms/7/content/Game%20(USA).zip", "/api/roms/7/content/Game%2520%2528USA%2529.zip", "/api/roms/7/content/100%25.zip",
			"/api/roms/7/content/%47%61me.zip", "/api/roms/7/content/a%3Fb%23c%3Bd.zip", "/api/roms/7/content/...And%20Justice.zip",
			"/api/roms/7/content/Pokémon%20[!].gb", "/api/roms/7/content/%e9.zip", "/api/roms/7/content/a.zip/", "/api//roms//7//content//a(.zip",
			"/api/roms/7/files/content/100%25.zip", "/api/firmware/7/content/100%25.bin", "/api/romsfiles/7/content/100%25.bin",
			"/api/raw/assets/users/ab/saves/nes/100%25%20(USA).srm", "/api/collections/virtual/abc%3D%3D", "/api/collections/virtual/a;b(c)",
			"//api/platforms", "/api//platforms//", "/api/roms/%2B7", "/api/search%3Fx",
		},
		application.Vouched: {
			"/assets/romm/resources/roms/1/cover/big.png", "/assets/romm/resources/roms/1/Game%20(USA)%20100%25/cover.png", "//openapi.json", "//api/stats",
			"//api/heartbeat", "/openapi.json/",
		},
		application.CredentialClosed: {
			"/api/roms/%37/content/a.zip", "/api/%72oms", "/api%2Froms", "/api%5Croms", `/api\roms`, "/api/roms/7/content/a%2Fb.zip",
			"/api/roms/7/content/a%5Cb.zip", "/api/roms/7/content/a%252Fb.zip", "/api/roms/7/content/%25252e%25252e", "/api/roms/7/content/100%25%252fb",
			"/api/roms/7/content/%2e%2e", "/api/roms/7/content/a%250a", "/api/roms/7/content/..", "/api/x/../roms", "/api/./roms", "/api/roms/..;/users",
			"/api/roms/%2e%2e;x/users", "/api/roms/%257", "/api/roms/%ff", "/api/collections/virtual/100%25", "/assets/romm/resources/%2e%2e/x",
			"/assets/%69ndex.js", "//api//setup/library", "/api/setup//library", "/api/login/openid/x",
		},
	} {
		for _, written := range paths {
			for credential, want := range map[string]application.Access{someToken: access, somePassword: access, someJWT: access, "Bearer x": bearerLike(access)} {
				r := httptest.NewRequest(http.MethodGet, written, nil)
				r.Header.Set("Authorization", credential)
				normal, plain, ok := request.NormalPath(r)
				if got := app.Access(r, normal, plain); !ok || got != want {
					t.Errorf("Access(%s) with %q = %v, want %v", written, credential, got, want)
				}
			}
		}
	}
}

// bearerLike returns the access of an access token where another credential has
// access.
func bearerLike(access application.Access) application.Access {
	if access == application.CredentialClosed {
		return application.BearerClosed
	}
	return application.Bearer
}

// readers are models of how other servers read the path of r. Each is "" where
// the server would refuse or redirect the request.
var readers = map[string]func(r *http.Request) string{
	"Go's ServeMux": func(r *http.Request) (read string) {
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) { read = r.URL.Path })
		mux.ServeHTTP(httptest.NewRecorder(), r)
		return read
	},
	"nginx": func(r *http.Request) string {
		var segments []string
		for segment := range strings.SplitSeq(unquote(r.URL.EscapedPath()), "/") {
			switch {
			case segment == "" || segment == ".":
			case segment == ".." && len(segments) == 0 || strings.Contains(segment, "\x00"):
				return ""
			case segment == "..":
				segments = segments[:len(segments)-1]
			default:
				segments = append(segments, segment)
			}
		}
		return "/" + strings.Join(segments, "/")
	},
	"Starlette": func(r *http.Request) string {
		return strings.ToValidUTF8(unquote(r.URL.EscapedPath()), "\uFFFD")
	},
	"a server that decodes twice": func(r *http.Request) string {
		return path.Clean(unquote(unquote(r.URL.EscapedPath())))
	},
	"a server that takes backslashes for slashes": func(r *http.Request) string {
		return path.Clean(strings.ReplaceAll(unquote(r.URL.EscapedPath()), `\`, "/"))
	},
}

// unquote decodes s like Python's urllib: what is not percent-encoded stays.
func unquote(s string) string {
	var decoded strings.Builder
	for s != "" {
		c := s[:1]
		if len(s) >= 3 {
			if one, err := url.PathUnescape(s[:3]); err == nil && s[0] == '%' {
				decoded.WriteString(one)
				s = s[3:]
				continue
			}
		}
		decoded.WriteString(c)
		s = s[1:]
	}
	return decoded.String()
}

// withoutNames returns p without its last names segments, which are replaced.
func withoutNames(p string, names int) string {
	segments := strings.Split(strings.Trim(p, "/"), "/")
	for i := max(0, len(segments)-names); i < len(segments); i++ {
		segments[i] = "name"
	}
	return strings.Join(segments, "/")
}

// No request opens a path that is not on the list, or one that two servers could
// read differently. Only the names of files may be read differently.
func FuzzAccess(f *testing.F) {
	for _, authorization := range []string{"", someToken, somePassword, someJWT, "Bearer rmm_x", "Bearer x"} {
		for _, at := range []string{
			"/api/heartbeat", "/api/users", "/api/token", "/api/feeds/tinfoil", "/api/feeds/pkgi/ps3/x", "/api/roms/7/content/a(.zip",
			"/api/roms/7/content/..%2f..%2fusers", "/assets/romm/resources/x.png", "/assets/romm/resources/../../x", "/api/setup/library",
			"/api/client-tokens/pair/x/status", "/ws/socket.io/", "/api//heartbeat", "/api/roms/1/content/%2e%2e/users", "/api/roms/1/content/%252e%252e%252fusers",
			"/api/roms/..;/users", "/api/%75sers", "/api/users%23", "/api/stats", "//api/setup/library", "/api/roms/1/content/a\"%2fb", "/api\\users", "/library",
		} {
			f.Add("GET", at, authorization, "")
			f.Add("POST", at, authorization, "x")
			f.Add("OPTIONS", at, authorization, "GET")
		}
	}
	app := appOf(f, "", ClientsFeeds, ClientsDownloads, ClientsCovers, ClientsPassword, ClientsBearer)
	closed := appOf(f, "")
	f.Fuzz(func(t *testing.T, method, at, authorization, preflight string) {
		u, err := url.ParseRequestURI(at)
		if err != nil {
			return // no server accepts such a request
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{"Authorization": {authorization}, "Access-Control-Request-Method": {preflight}}}
		p, plain, ok := request.NormalPath(r)
		if !ok {
			return // the gate refuses it before
		}
		access := app.Access(r, p, plain)
		switch access {
		case application.Open:
			listed := p == "/api/heartbeat" || strings.HasPrefix(p, "/api/client-tokens/") || strings.HasPrefix(p, "/api/auth/device/") ||
				strings.HasPrefix(p, "/api/feeds/") || p == "/api/tinfoil/feed" || p == "/api/webrcade/feed" ||
				strings.Contains(p, "/content/") || strings.HasPrefix(p, resources) || method == http.MethodOptions && strings.HasPrefix(p, "/api/")
			if !listed || !isAsWritten(u, p) || shut(method, p) || isSocket(p) {
				t.Errorf("%s %s is Open, want only listed paths to be", method, at)
			}
		case application.Credential, application.Vouched:
			if shut(method, p) || isSocket(p) || access == application.Credential && !strings.HasPrefix(p, "/api/") {
				t.Errorf("%s %s with %q is %v, want it closed", method, at, authorization, access)
			}
			if kind := credentialIn(authorization); kind == noCredential || kind == accessToken || kind != clientToken && slices.Contains([]application.Access{application.Credential, application.Vouched, application.CredentialClosed}, closed.Access(r, p, plain)) {
				t.Errorf("%q is a credential, want only well-formed and opened ones to be", authorization)
			}
		case application.Bearer:
			if shut(method, p) || isSocket(p) || !strings.EqualFold(authorization[:min(7, len(authorization))], "bearer ") {
				t.Errorf("%s %s with %q is Bearer, want it closed", method, at, authorization)
			}
		case application.Exchange:
			if method != http.MethodPost || p != "/api/token" || !plain {
				t.Errorf("%s %s is Exchange, want only POST /api/token to be", method, at)
			}
			return
		case application.Protected, application.CredentialClosed, application.BearerClosed:
			return
		}
		readAlike(t, r, p)
	})
}

// readAlike fails if a server could read another path than p, which the gate
// decided on, except for the names of files.
func readAlike(t *testing.T, r *http.Request, p string) {
	t.Helper()
	request.MergeSlashes(r)
	want := withoutNames(p, namesIn(p))
	for name, read := range readers {
		if got := withoutNames(read(r), namesIn(p)); got != want {
			t.Errorf("%s reads %q as %q, and the gate as %q, want the same", name, r.URL.EscapedPath(), got, want)
		}
	}
}
