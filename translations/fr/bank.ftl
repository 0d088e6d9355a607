# Banque du Fleuve, l’organisation de démonstration qui demande un revenu.
bank-nav-home = Accueil
bank-nav-loan = Demander un prêt
bank-nav-office = Côté banque
bank-francs = { $amount } FCFA
bank-purpose = Étudier votre demande de prêt

bank-home-title = Un prêt sans fournir de papiers
bank-home-lead = Demandez un prêt en deux minutes. Avec votre accord, et seulement avec votre accord, les Impôts confirment votre revenu à la banque.
bank-home-step-ask = Vous dites combien, pour combien de temps et pour quoi faire.
bank-home-step-agree = Vous vous identifiez auprès de l’Agence du numérique et vous choisissez : accepter ou refuser que la banque lise votre revenu.
bank-home-step-answer = La banque répond. Vous pouvez retirer votre accord à tout moment sur votre portail citoyen.
bank-home-begin = Demander un prêt
bank-home-requests = Vos demandes
bank-home-none = Vous n’avez pas encore fait de demande sur cet appareil.

bank-loan-title = Demander un prêt
bank-loan-lead = Trois questions, puis votre choix.
bank-amount = Montant du prêt
bank-amount-hint = En francs CFA, par exemple 500 000
bank-amount-error = Écrivez un montant entre { $least } et { $most } FCFA
bank-months = Durée du remboursement
bank-months-count = { $months } mois
bank-months-error = Choisissez une durée
bank-project = Ce que le prêt va payer
bank-project-trade = Un commerce : stock, étal, local
bank-project-equipment = Du matériel : moto, outil, machine
bank-project-school = Des études ou une formation
bank-project-housing = Un logement ou des travaux
bank-project-health = Des soins
bank-project-error = Choisissez à quoi servira le prêt
bank-loan-next-title = L’étape suivante
bank-loan-next-text = Vous serez conduit chez l’Agence du numérique. Elle vous montrera exactement ce que la banque veut lire : revenu brut, revenu imposable et employeur, pour une seule année. La banque ne saura jamais votre numéro national.
bank-loan-send = Continuer

bank-request-title = Votre demande de prêt
bank-request-asked = Ce que vous avez demandé
bank-request-grant = Référence de votre accord
bank-request-consent = Choisir : accepter ou refuser
bank-request-again = Demander à nouveau mon revenu

bank-state-asked = En attente de votre choix
bank-state-refused = Vous avez refusé
bank-state-verified = Revenu confirmé
bank-state-unverified = Revenu non confirmé

bank-told-asked-title = Il manque votre choix
bank-told-asked-text = Vous n’avez encore ni accepté ni refusé que la banque lise votre revenu. Rien n’a été lu.
bank-told-refused-title = Vous avez refusé, et c’est votre droit
bank-told-refused-text = La banque n’a rien lu. Votre demande reste ouverte : apportez un justificatif de revenu dans une agence, ou changez d’avis quand vous voulez.
bank-told-answered-title = Votre revenu est confirmé
bank-told-answered-text = Les Impôts ont répondu à la banque par la passerelle de l’État. Votre accord vaut { $days } jours et { $uses } lectures au plus. Chaque lecture est inscrite sur votre portail citoyen, sous « Qui a consulté mes données ».
bank-told-ended-title = Votre passage à la banque est terminé
bank-told-ended-text = Par sécurité, la banque ne peut plus demander votre revenu sans vous. Identifiez-vous de nouveau si vous voulez continuer.
bank-told-consent-revoked-title = Vous avez retiré votre accord
bank-told-consent-revoked-text = La banque a demandé, la passerelle a refusé : rien ne lui a été donné. Elle a aussi effacé le revenu lu auparavant. Pour continuer, donnez un nouvel accord ou apportez un justificatif dans une agence.
bank-told-consent-expired-title = Votre accord est arrivé à sa fin
bank-told-consent-expired-text = Il valait { $days } jours. Rien n’a été donné à la banque. Vous pouvez en donner un nouveau.
bank-told-consent-exhausted-title = Votre accord a déjà servi { $uses } fois
bank-told-consent-exhausted-text = C’était la limite que vous aviez acceptée. Rien de plus n’a été donné à la banque. Vous pouvez donner un nouvel accord.
bank-told-consent-out-of-scope-title = Votre accord ne couvre pas cette lecture
bank-told-consent-out-of-scope-text = Rien n’a été donné à la banque. Vous pouvez donner un nouvel accord.
bank-told-access-denied-title = La passerelle a refusé l’accès à la banque
bank-told-access-denied-text = Rien n’a été donné. Ce n’est pas votre faute : identifiez-vous de nouveau, ou apportez un justificatif dans une agence.
bank-told-no-statement-title = Les Impôts n’ont pas d’avis à votre nom
bank-told-no-statement-text = C’est fréquent quand le revenu n’est pas déclaré. Votre demande reste ouverte : apportez une autre preuve de revenu dans une agence.
bank-told-unreachable-title = Les Impôts ne répondent pas pour le moment
bank-told-unreachable-text = Votre accord reste valable. Essayez de nouveau dans quelques minutes.
bank-told-other-title = La lecture n’a pas abouti
bank-told-other-text = Rien n’a été donné à la banque. Essayez de nouveau, ou apportez un justificatif dans une agence.

bank-income-title = Votre revenu, confirmé par les Impôts
bank-income-source = La banque voit ces lignes et aucune autre.
bank-income-year = Année
bank-income-gross = Revenu brut
bank-income-taxable = Revenu imposable
bank-income-employer = Employeur

bank-advice-title = Ce que dit le calcul
bank-advice-share = par mois, soit { $percent } % de votre revenu mensuel
bank-advice-good = Avis favorable : c’est moins de { $limit } % de votre revenu. Un conseiller vous rappelle pour signer.
bank-advice-talk = C’est plus de { $limit } % de votre revenu. Un conseiller cherche avec vous une durée plus longue ou un montant plus petit.
bank-advice-terms = Calcul indicatif à { $percent } % l’an. La décision est prise par une personne, jamais par une machine.

bank-calls-title = Ce que la banque a demandé
bank-calls-text = Chaque demande porte un numéro et laisse une preuve signée, que chacun peut vérifier sans la banque ni l’État.
bank-call-message = Message
bank-call-took = { $ms } ms
bank-call-proof-response = Télécharger la preuve ASiC-E de la réponse des Impôts
bank-call-proof-request = Télécharger la preuve ASiC-E de la demande de la banque
bank-outcome-answered = Revenu reçu
bank-outcome-consent-revoked = Refusé : accord retiré
bank-outcome-consent-expired = Refusé : accord terminé
bank-outcome-consent-exhausted = Refusé : accord épuisé
bank-outcome-consent-out-of-scope = Refusé : hors de l’accord
bank-outcome-access-denied = Refusé : pas de droit d’accès
bank-outcome-no-statement = Aucun avis d’imposition
bank-outcome-unreachable = Pas de réponse
bank-outcome-other = Échec

bank-office-title = Côté banque
bank-office-lead = Ce que les systèmes de la banque gardent de vos demandes : le numéro de chaque message de la passerelle et son issue. Ni votre nom ni votre numéro national n’y figurent.
bank-office-client = La banque, sur la passerelle
bank-office-service = Le service appelé
bank-office-none = Aucun appel n’a été fait pour vos demandes.
bank-office-when = Quand
bank-office-outcome = Issue
bank-office-took = Durée
bank-office-message = Message (X-Road-Id)
bank-office-reference = Référence du nœud
bank-office-fields = Le nœud garde chaque message signé et horodaté ; la référence permet à un agent de le retrouver.

bank-stale-title = Cette réponse ne peut plus servir
bank-stale-text = Elle a déjà été utilisée, ou elle vient d’une autre fenêtre. Revenez à l’accueil : vos demandes y sont.
bank-provider-title = L’Agence du numérique ne répond pas
bank-provider-text = Votre demande est gardée. Revenez à l’accueil dans quelques minutes et ouvrez-la pour continuer.
