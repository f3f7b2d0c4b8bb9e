// reverse_proxy, as the doctor reads it.

package doctor

import (
	"encoding/json"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

type proxy struct {
	Upstreams []struct {
		Dial string `json:"dial"`
	} `json:"upstreams"`
	Transport struct {
		TLS json.RawMessage `json:"tls"`
	} `json:"transport"`
	Rewrite struct {
		Method string `json:"method"`
		URI    string `json:"uri"`
	} `json:"rewrite"`
	HandleResponse []responseHandler `json:"handle_response"`
	Headers        struct {
		Request struct {
			Set     map[string]any `json:"set"`
			Add     map[string]any `json:"add"`
			Replace map[string]any `json:"replace"`
			Delete  []string       `json:"delete"`
		} `json:"request"`
	} `json:"headers"`
	StreamTimeout any `json:"stream_timeout"`
}

type responseHandler struct {
	Match struct {
		Status []int `json:"status_code"`
	} `json:"match"`
}

// proxyOf returns the reverse_proxy that s is, or nil. forward_auth is one too.
func proxyOf(s step) *proxy {
	p := new(proxy)
	if s.name != "reverse_proxy" || json.Unmarshal(s.raw, p) != nil {
		return nil
	}
	return p
}

// forwardAuth reports whether p is what forward_auth becomes.
func (p *proxy) forwardAuth() bool {
	return p.Rewrite.Method == http.MethodGet && slices.ContainsFunc(p.HandleResponse, func(h responseHandler) bool { return slices.Contains(h.Match.Status, 2) })
}

// touches reports whether p changes the request header field called name.
func (p *proxy) touches(name string) bool {
	same := func(field string) bool {
		return textproto.CanonicalMIMEHeaderKey(strings.TrimLeft(field, "+->?")) == name
	}
	for _, fields := range []map[string]any{p.Headers.Request.Set, p.Headers.Request.Add, p.Headers.Request.Replace} {
		for field := range fields {
			if same(field) {
				return true
			}
		}
	}
	return slices.ContainsFunc(p.Headers.Request.Delete, same)
}

// answersRedirects reports whether p handles RomM's redirects itself.
func (p *proxy) answersRedirects() bool {
	for _, handler := range p.HandleResponse {
		status := handler.Match.Status
		if len(status) == 0 || slices.Contains(status, 3) || slices.Contains(status, 302) || slices.Contains(status, 307) {
			return true
		}
	}
	return false
}

// dials returns where p reaches RomM.
func (p *proxy) dials() []string {
	dials := make([]string, 0, len(p.Upstreams))
	for _, upstream := range p.Upstreams {
		dials = append(dials, upstream.Dial)
	}
	return dials
}
