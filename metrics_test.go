// What the endpoints for RomM log.

package rommoidc

import (
	"errors"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
)

// Anyone can send the token endpoint any number of requests: at the default
// level the log shows none of them. It does show a misconfigured RomM.
func TestStrangersFillNoLog(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	for range 100 {
		observeProvider(zap.New(core), op.Event{Name: "token_request_unknown", Err: errors.New("unknown_code")})
	}
	observeProvider(zap.New(core), op.Event{Name: "code_redeemed"})
	if logs.Len() != 0 {
		t.Errorf("requests of strangers logged %d lines, want none", logs.Len())
	}
	observeProvider(zap.New(core), op.Event{Name: "token_request_refused", Err: errors.New("wrong_client_secret")})
	if all := logs.All(); len(all) != 1 || all[0].Level != zapcore.WarnLevel {
		t.Errorf("a refused request of RomM logged %v, want one warning", all)
	}
}
