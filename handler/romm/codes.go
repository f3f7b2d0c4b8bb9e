// The codes of all problems with RomM, for the metrics.

package romm

import "github.com/romm-oidc/caddy-romm-oidc/handler/problem"

// Codes returns the codes of the problems with RomM.
func Codes() []string {
	return problem.CodesOf([]*problem.Problem{
		errUnreachable, errBusy, errOwnerUnknown, errDisabled, errElsewhere, errNoMetadata, errSecret, errRefused,
		errRegistration, errAccountDisabled, errNoRole, errRolesIgnored, errRolesVersion, errNoAdministrator, errLastAdmin,
		errAccountChanged, errAccountNotTrusted, errAccountTooLarge, errClaimsTooLarge, errLinkTaken, errNameRests,
	})
}
