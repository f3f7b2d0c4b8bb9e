// The chain of background calls after a reload.

package handler

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// A reload moves the application to another address. Calls beside the requests take the
// way of the new configuration as soon as one of its requests came, and never that of a
// request on a connection that outlived its configuration.
func TestBackgroundCallsFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.do(t, "/api/x")
	gate, next := s.handler.config.Gate, New(s.handler.config)
	gate.SetHandler(next)
	if gate.last.Load().chain != s.chain {
		t.Fatal("a new configuration has no chain before its first request, want the former one")
	}
	serve := func(chain *chainFunc, outlived bool) {
		chain.serve = func(http.ResponseWriter, *http.Request) error { return nil }
		r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/api/x", nil)
		r.TLS.HandshakeComplete = true
		if outlived {
			_ = next.ServeHTTP(httptest.NewRecorder(), r, outlivedChain{chain})
			return
		}
		_ = next.ServeHTTP(httptest.NewRecorder(), r, chain)
	}
	serve(new(chainFunc), true)
	if gate.last.Load().chain != s.chain {
		t.Error("a request of a former configuration changed the chain, want it kept")
	}
	moved := new(chainFunc)
	serve(moved, false)
	if gate.last.Load().chain != moved {
		t.Error("background calls take the chain of the former configuration, want that of the new one")
	}
}

// outlivedChain is the chain of a configuration that is not in force any more.
type outlivedChain struct{ *chainFunc }

func (outlivedChain) Keep() application.Chain { return nil }
