// The routing table's type, the match of a path, and the scope check.

package romm

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// route is one endpoint. RomM registers each with and without trailing slash.
type route struct {
	methods string
	pattern string
	// scope is the scope that a request needs, "" for none.
	scope string
	// download marks the routes that DISABLE_DOWNLOAD_ENDPOINT_AUTH opens.
	download bool
	// from is the first release with the route, until the first release without it
	// again.
	from, until string
	serve       endpoint
}

func (s *Server) allRoutes() []route {
	all := slices.Concat(systemRoutes(), signInRoutes(), userRoutes(), pairingRoutes(), libraryRoutes(), assetRoutes())
	all = slices.DeleteFunc(all, func(r route) bool {
		from, until := parseVersion(r.from), parseVersion(r.until)
		return !s.version.atLeast(from[0], from[1], from[2]) ||
			r.until != "" && s.version.atLeast(until[0], until[1], until[2])
	})
	if s.options.DisableDownloadEndpointAuth {
		for i, r := range all {
			if r.download {
				all[i].scope = ""
			}
		}
	}
	return all
}

// route picks the endpoint by the path as it arrived, which nginx does not
// normalize. It is decoded once, and what is not UTF-8 is replaced.
func (x *exchange) route() error {
	wrongMethod := false
	for _, candidate := range x.routes {
		params, ok := match(candidate.pattern, strings.ToValidUTF8(x.r.URL.Path, "\uFFFD"))
		if !ok {
			continue
		}
		if !slices.Contains(strings.Fields(candidate.methods), x.r.Method) {
			wrongMethod = true
			continue
		}
		if err := x.need(candidate.scope); err != nil {
			return err
		}
		x.params = params
		return candidate.serve(x)
	}
	if wrongMethod {
		return detail{status: http.StatusMethodNotAllowed, text: "Method Not Allowed"}
	}
	return errNotFound
}

var (
	errNotFound  = detail{status: http.StatusNotFound, text: "Not Found"}
	errForbidden = detail{status: http.StatusForbidden, text: "Forbidden"}
)

// need is RomM's scope check. An anonymous request is a 401 from 5.1.1, a 403 before.
func (x *exchange) need(scope string) error {
	switch {
	case scope == "" || slices.Contains(x.scopes, scope):
		return nil
	case x.user == nil && x.version.unauthorized():
		return detail{status: http.StatusUnauthorized, text: "Not authenticated", header: "Bearer"}
	}
	return errForbidden
}

func match(pattern, path string) (map[string]string, bool) {
	want := strings.Split(pattern, "/")
	got := strings.Split(plainPath(path), "/")
	if len(want) != len(got) {
		return nil, false
	}
	params := map[string]string{}
	for i, segment := range want {
		name, isParam := strings.CutPrefix(segment, "{")
		switch {
		case isParam && got[i] != "":
			params[strings.TrimSuffix(name, "}")] = got[i]
		case segment != got[i]:
			return nil, false
		}
	}
	return params, true
}

// id returns the number in the path.
func (x *exchange) id() (int, error) {
	n, err := pathNumber(x.params["id"])
	if err != nil {
		return 0, detail{status: http.StatusUnprocessableEntity, text: "Input should be a valid integer"}
	}
	return n, nil
}

// pathNumber reads a number by FastAPI's rules, which allow spaces around it, a
// sign and a fraction of zeros: "2.0", "+2" and " 2" are all 2.
func pathNumber(text string) (int, error) {
	text = strings.TrimSpace(text)
	if whole, fraction, _ := strings.Cut(text, "."); fraction != "" && strings.Trim(fraction, "0") == "" {
		text = whole
	}
	return strconv.Atoi(text)
}

func ok(body any) endpoint {
	return func(x *exchange) error { return x.json(http.StatusOK, body) }
}
