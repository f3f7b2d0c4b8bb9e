package rommoidc

import (
	"errors"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
)

// Anybody may ask the token endpoint, as often as they like: it is in no log
// at the default level. A RomM that is set up wrongly is.
func TestStrangersFillNoLog(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	for range 100 {
		answered(zap.New(core), op.EventStranger, errors.New(op.RefusalCode))
	}
	answered(zap.New(core), op.EventRedeemed, nil)
	if logs.Len() != 0 {
		t.Errorf("%d lines", logs.Len())
	}
	answered(zap.New(core), op.EventRefused, errors.New(op.RefusalSecret))
	if all := logs.All(); len(all) != 1 || all[0].Level != zapcore.WarnLevel {
		t.Errorf("got %v", all)
	}
}
