# Les pages des gestionnaires.

nav-label = Pages
nav-skip = Aller au contenu
nav-home = Retour aux demandes
nav-requests = Demandes
nav-certificates = Certificats
nav-organisations = Organisations
nav-managers = Gestionnaires
nav-packages = Paquets
nav-profiles = Profils
nav-health = Service
nav-audit = Audit
who-all-organisations = toutes les organisations
refused-request-id = Identifiant pour l’assistance :

keys-title = Raccourcis clavier
keys-move = ligne suivante, précédente
keys-open = ouvrir la ligne
keys-select = sélectionner la ligne
keys-search = rechercher
keys-approve = approuver
keys-reject = aller au motif de rejet
keys-next = demande ou page suivante
keys-up = retour à la liste
keys-help = cette aide
keys-on = Raccourcis d’une seule touche
keys-close = Fermer

shown-moment = { $day } { $month } { $year }, { $time } UTC
shown-minutes = { $count } min
shown-hours = { $count } h
shown-days = { $count } j

queue-waiting = À traiter par vous
queue-all = Toutes
queue-states = Demandes par état
queue-search = Rechercher
queue-search-placeholder = nom, hôte, courriel, MAC, numéro
queue-kind = Type
queue-any = tous
queue-organisation = Organisation
queue-order = Ordre
order-oldest = les plus anciennes d’abord
order-newest = les plus récentes d’abord
order-organisation = par organisation
order-name = par nom commun
queue-apply = Appliquer
queue-reset = Réinitialiser
queue-select = Sélectionner la demande { $number }
queue-select-all = Tout sélectionner sur cette page
queue-preview = Décider de la sélection
queue-nothing = Aucune demande ici.
queue-nothing-yet = Rien trouvé jusqu’ici.
queue-looked-until = Recherche faite jusqu’à la demande { $number } ; la page suivante continue à partir de là.
page-first = Première page
page-next = Page suivante

head-number = Numéro
head-age = Âge
head-common-name = Nom commun
head-kind = Type
head-organisation = Organisation
head-state = État
head-description = Description
head-warnings = Avertissements
head-field = Champ
head-asked = Demandé
head-would-issue = Serait délivré
head-issued = Délivré
head-previous = Précédent
head-said = Maintenant
head-result = Résultat
head-serial = Numéro de série
head-request = Demande
head-ends = Fin

item-subject = Sujet
item-dns-names = Noms d’hôte (SAN)
item-emails = Adresses électroniques (SAN)
item-other-names = Autres noms (SAN)
item-key = Clé
item-key-sha256 = Clé, SHA-256
item-key-usage = Usage de la clé
item-extended-key-usage = Usage étendu de la clé
item-validity = Validité
item-email = Courriel
item-telephone = Téléphone
item-approver = Approuvée par
item-code = Code
item-name = Nom
item-country = Pays
item-role = Rôle
item-store = Magasin

field-alternative-names = Noms alternatifs (SAN)
field-signature = Signature
field-unit = Unité d’organisation

machine-host-name = Nom d’hôte
machine-mac-address = Adresse MAC
machine-nic-id = Identifiant de la carte réseau
machine-processor-id = Identifiant du processeur
machine-os-version = Système d’exploitation
machine-os-type = Type de système

request-title = Demande { $number }
request-back = Retour à la liste
request-next = Suivante : demande { $number }
request-decided = Décidée
request-replaces = Remplace la demande
request-replaced-by = Une demande plus récente l’a remplacée :
request-certificate = Certificat
request-watchers = Également ouverte chez :
request-decision = Décision
request-approve = Approuver
request-reject = Rejeter
request-reason = Motif d’un rejet (le client le verra)
request-warnings = À examiner
request-contact = Contact
request-compare = Ce qui est demandé et ce qui serait délivré
request-csr-sha256 = L’approbation porte sur cette CSR, SHA-256 :
request-machine = Ce que la machine dit d’elle-même
request-history = Historique
compare-changed = autre que demandé
compare-differs = était différent
compare-first = Cette machine n’a encore eu aucun certificat.

preview-title = Décider des demandes sélectionnées
preview-not-pending = Plus en attente :
preview-approve = Approuver toute la sélection
preview-reject = Rejeter toute la sélection
results-title = Résultats

certificates-views = Certificats par état
certificates-all = Tous, les plus récents d’abord
certificates-ending = Prochains à expirer
certificates-revoked = Révoqués
certificates-search-placeholder = numéro de série, nom, numéro de demande
certificates-nothing = Aucun certificat ici.
certificates-nothing-found = Aucun certificat ne répond à cette recherche. D’un numéro de série, il faut les 12 premiers chiffres ou plus.
certificate-title = Certificat
certificate-back = Retour aux certificats
certificate-download-pem = Télécharger avec la chaîne (PEM)
certificate-download-der = Télécharger (DER)
certificate-revoke = Révoquer
certificate-revoke-final = Une révocation est définitive. La liste de révocation est publiée dans la même étape.
certificate-code = Code de motif (RFC 5280)
certificate-reason = En toutes lettres (le client le verra)
standing-good = en usage
standing-revoked = révoqué
standing-ended = expiré
standing-unsigned = pas encore signé

organisation-add = Ajouter une organisation
organisation-code-help = 2 à 16 lettres majuscules et chiffres : J1CFRA
organisation-country-help = deux lettres majuscules (ISO 3166-1) : FR
organisation-requests = Demandes de { $code }
person-in-office = en fonction
person-disabled = hors fonction
person-disable = Retirer la fonction
person-disable-help = Retirer sa fonction à un gestionnaire révoque ses certificats, avec effet dès son prochain clic.
packages-title = Paquets d’installation
package-create = Créer un paquet d’installation
package-create-help = Le paquet est téléchargé une seule fois. Il contient le secret d’enrôlement, qui n’est nulle part ailleurs et n’est plus jamais montré.
package-external = Des demandes pour serveurs externes peuvent être soumises avec lui
package-external-short = Serveurs externes
package-locality = Localité (valeur par défaut des clients)
package-region = Région (valeur par défaut des clients)
package-email = Courriel (valeur par défaut des clients)
package-given = Paquets d’installation remis
package-made = Créé
package-in-use = en usage
package-ended = terminé
package-end = Mettre fin à son usage
profile-help = Ce que contient chaque type de certificat. Les profils font partie du programme et ne se modifient pas ici.
profile-manager = Gestionnaire
profile-service = Écouteurs du service
profile-package-signer = Signataire des paquets d’installation
profile-ocsp-responder = Répondeur OCSP
profile-as-issuer = aussi longtemps que son émetteur
health-environment = Environnement
health-version = Version
health-clock = Horloge
health-requests = Demandes
health-pending = En attente
health-oldest = La plus ancienne en attente depuis
health-crl-number = Liste de révocation, numéro
health-crl-made = Liste de révocation valable dès
health-crl-next = Prochaine au plus tard
health-issuing-key = Clé émettrice
health-issuer-ends = Fin du certificat émetteur
health-root-ends = Fin du certificat racine
health-listeners-end = Fin du certificat des écouteurs
health-database = Base de données
health-disk = Espace disque libre
health-no-crl = Il n’y a pas de liste de révocation.
record-intact = La chaîne de { $entries } entrées est intacte. Notez sa tête ailleurs :
record-broken = La chaîne est rompue : l’entrée { $sequence } a été modifiée, ou des entrées avant elle ont été retirées ou ajoutées.
record-object = Objet
record-action = Action
record-actor = Acteur
record-sequence = Entrée
record-time = Moment
record-detail = Détail
record-verify = Vérifier la chaîne
record-export-csv = Exporter en CSV
record-export-json = Exporter en lignes JSON
record-nothing = Aucune entrée ici.

action-request-submit = Soumise
action-request-outcome = Signalé par le client
action-request-read = Lue
action-request-approve = Approuvée
action-request-reject = Rejetée
action-request-cancel = Annulée
action-request-expire = Expirée
action-request-list = Demandes listées
action-certificate-issue = Certificat signé
action-certificate-revoke = Certificat révoqué
action-certificate-read = Certificat lu
action-certificate-list = Certificats listés
action-crl-publish = Liste de révocation publiée
action-organisation-add = Organisation ajoutée
action-manager-add = Gestionnaire ajouté
action-manager-disable = Gestionnaire hors fonction
action-package-create = Paquet d’installation créé
action-package-disable = Paquet d’installation terminé
action-service-install = Installation faite
action-service-restore = Restauration d’une sauvegarde
action-service-move-database = Base de données déplacée vers un serveur
action-service-protect-keys = Chiffrement des clés de l’autorité modifié

shown-month = { $month ->
    [1] janv.
    [2] févr.
    [3] mars
    [4] avr.
    [5] mai
    [6] juin
    [7] juil.
    [8] août
    [9] sept.
    [10] oct.
    [11] nov.
   *[12] déc.
}
preview-count = { $count ->
    [one] { $shown } demande peut être décidée.
   *[other] { $shown } demandes peuvent être décidées.
}
results-approved = { $count ->
    [one] { $shown } demande approuvée.
   *[other] { $shown } demandes approuvées.
}
results-rejected = { $count ->
    [one] { $shown } demande rejetée.
   *[other] { $shown } demandes rejetées.
}
results-refused = { $count ->
    [one] { $shown } non décidée.
   *[other] { $shown } non décidées.
}
profile-years = { $count ->
    [one] { $shown } an
   *[other] { $shown } ans
}
profile-days = { $count ->
    [one] { $shown } jour
   *[other] { $shown } jours
}

issued-title = Clé et certificat du gestionnaire
issued-back = Retour aux gestionnaires
issued-once = Enregistrez le fichier et notez le mot de passe maintenant. Ni l’un ni l’autre ne sont conservés ici ni montrés à nouveau.
issued-file = Fichier (PKCS #12)
issued-password = Mot de passe
issued-next = Remettez le fichier et le mot de passe par des voies différentes. Le gestionnaire importe le fichier dans son navigateur ou dans Windows et ouvre ces pages.
person-change = Modifier
person-reissue = Délivrer un nouveau certificat
person-revoke-older = Révoquer immédiatement les anciens
person-add = Ajouter un gestionnaire
person-add-help = La clé est créée ici et remise une seule fois, sous forme de fichier PKCS #12 avec son mot de passe. Un gestionnaire qui crée sa clé ailleurs s’ajoute par « ptc-enrollment manager add » ou par l’API.
person-organisation = Organisation (d’un gestionnaire d’enregistrement)
package-back = Retour aux paquets d’installation
package-preview = Aperçu du paquet d’installation
package-preview-help = Rien n’est encore créé. À ces réglages s’ajoutent l’ancre de confiance, un nouveau secret d’enrôlement et un manifeste signé.
package-make = Créer et télécharger
package-expires = Dernier jour d’utilisation (UTC), le cas échéant
package-until = jusqu’au
package-grace = Jours pendant lesquels l’ancien secret reste valable
package-rotate = Renouveler : un nouveau secret
action-manager-reissue = Certificat de gestionnaire délivré à nouveau
action-package-rotate = Paquet d’installation renouvelé
health-notices-waiting = Avis en attente d’envoi
health-notices-failed = Avis abandonnés
health-notices-oldest = Le plus ancien attend depuis
action-manager-language = Langue d’un gestionnaire choisie
action-request-follow = État demandé
action-test = Connexion testée
action-organisation-list = Organisations listées
action-manager-list = Gestionnaires listés
action-package-list = Paquets d’installation listés
action-audit-read = Journal d’audit lu
action-service-read = État du service lu

queue-bulk = Décider de tout ce qui correspond
bulk-list-title = Décisions groupées
bulk-nothing = Aucune décision groupée ici.
bulk-title = Décision groupée { $number }
bulk-draft-title = Décider de tout ce qui correspond
bulk-draft-full = Il n’en est pas possible davantage à la fois ({ $limit }) ; le reste attend la prochaine fois.
bulk-draft-shares = Demandes par organisation et type
bulk-draft-warned = Avec avertissements
bulk-draft-binds = Une décision porte sur ces demandes exactement telles qu’elles sont maintenant. Lancez-la avant le { $until } ; ensuite cette liste n’existe plus.
bulk-draft-leave-out = { $count ->
    [one] Laisser de côté { $shown } demande avec avertissements
   *[other] Laisser de côté les { $shown } demandes avec avertissements
}
bulk-approve = Tout approuver
bulk-reject = Tout rejeter
bulk-verdict = Décision
bulk-verdict-approve = Approuver
bulk-verdict-reject = Rejeter
bulk-made-by = Par
bulk-started = Lancée
bulk-ended = Terminée
bulk-ended-because = Terminée avant la fin :
bulk-progress-label = Avancement
bulk-progress = { $done } sur { $requests }, { $rate } par seconde
bulk-state-draft = non lancée
bulk-state-running = en cours
bulk-state-finished = terminée
bulk-state-stopped = arrêtée
bulk-stop = Arrêter
bulk-stop-help = Ce qui est décidé reste décidé.
bulk-refresh = Actualiser
bulk-csv = Résultats en CSV
outcome-waiting = En attente
outcome-refused = Non décidée
outcome-stopped = Arrêtée avant son tour
action-bulk-create = Décision groupée montrée
action-bulk-list = Décisions groupées listées
action-bulk-read = Décision groupée lue
action-bulk-start = Décision groupée lancée
action-bulk-stop = Décision groupée arrêtée
action-bulk-finish = Décision groupée terminée
