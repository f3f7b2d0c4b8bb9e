package command

import (
	"errors"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

// showStatus prints how each gate is, and fails if one is not well, so that a
// script can tell by the exit code.
func showStatus(c *cobra.Command, _ []string) error {
	var all []admin.Status
	if err := ask(c, http.MethodGet, admin.StatusPath, nil, &all); err != nil {
		return err
	}
	well := true
	for _, s := range all {
		well = well && s.Well()
		provider := "its metadata were read at " + moment(s.Provider.MetadataRead)
		switch {
		case s.Provider.Error != "" && s.Provider.MetadataRead.IsZero():
			provider = "does not answer, nobody can sign in: " + s.Provider.Error
		case s.Provider.Error != "":
			provider += ", but it does not answer now: " + s.Provider.Error
		}
		storage := "answers"
		switch {
		case s.StorageError != "":
			storage = "takes nothing, nobody can sign in; sessions in memory go on: " + s.StorageError
		case s.StorageAway:
			storage = "does not answer; sessions in memory go on"
		}
		romm := "not asked yet"
		if s.RomM.Version != "" {
			romm = s.RomM.Version + ", seen at " + moment(s.RomM.Seen)
		}
		say(c, "Gate %s", s.Gate)
		say(c, "  public origin  %s", s.Origin)
		say(c, "  issuer         %s, client %s", s.Issuer, s.ClientID)
		say(c, "  provider       %s", provider)
		say(c, "  storage        %s", storage)
		say(c, "  sessions       %d in memory", s.SessionsInMemory)
		say(c, "  RomM           %s", romm)
	}
	if !well {
		return errors.New("something does not answer")
	}
	return nil
}
