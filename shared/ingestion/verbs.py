"""Words by which a heading is known to tell what to do."""

from __future__ import annotations

_VERBS = """
add adjust allow analyze apply assign attach automate avoid bootstrap choose clean clear collect
combine compare compile compress configure connect convert create customize debug declare define
delete deploy detect develop diagnose disable embed enable encrypt enforce ensure establish evaluate
exclude execute expand expose extend extract fetch find generate get give go identify implement
improve include ingest inspect install integrate invite join keep launch learn localize maintain
make manage measure migrate modify navigate observe optimize organize prepare protect provide
publish query rebuild recover redirect reduce refactor remove rename render replace resize resolve
restore restrict retrieve revert revoke rewrite roll sanitize save secure see select send serve
specify submit subscribe switch train transform translate troubleshoot tune uninstall unlock upload
use validate verify write
"""
_ALSO_NOUNS = """
archive ask back backup benchmark block build bundle cache call cancel change check clone copy cut
design display document download drop edit export fill filter fix format grant group handle hide
host import increase index issue limit link list load lock log look map merge mock monitor mount
move name open override pause pick pin plan preview print profile provision push put read refresh
register release reload repair report request require reset restart resume return reuse review
rotate run scale schedule score search set setup share show sign skip sort split start stop store
stream structure style sync test theme track transfer trigger update upgrade version view visit wait
watch work wrap
"""
_OBJECTS = """
a an the your my our its their this these all any each every it them what which where with without
from into onto on to in up down out off back over by for and between
"""
_DOUBLED = "cut debug drop get log map pin plan put reset run set skip split stop submit wrap"

VERBS = frozenset(_VERBS.split())
"""Verbs of manuals that are no nouns, too."""
ALSO_NOUNS = frozenset(_ALSO_NOUNS.split())
"""Those that are: "Release notes" tells nobody to do anything, "Release a version" does."""
OBJECTS = frozenset(_OBJECTS.split())
"""Words that follow a verb, and no noun that is one of two."""
DOUBLED = frozenset(_DOUBLED.split())
"""Verbs that double their last letter before -ing."""

_FR = """
activer ajouter changer choisir configurer connecter créer définir déployer désactiver exporter
générer gérer importer installer intégrer lancer migrer modifier personnaliser protéger publier
restaurer sauvegarder supprimer tester traduire utiliser vérifier
"""
_ES = """
actualizar activar agregar añadir cambiar conectar configurar crear desactivar desplegar eliminar
exportar generar importar instalar integrar migrar modificar personalizar proteger publicar
restaurar traducir usar utilizar verificar
"""
_PT = """
adicionar alterar ativar atualizar conectar configurar criar desativar excluir exportar gerar
importar implantar instalar integrar migrar personalizar proteger publicar remover restaurar
traduzir usar utilizar verificar
"""
_IT = """
aggiornare aggiungere attivare cambiare collegare configurare creare disattivare eliminare esportare
generare importare installare integrare migrare modificare personalizzare proteggere pubblicare
ripristinare rimuovere tradurre usare utilizzare verificare
"""

INFINITIVES = {
    "fr": (frozenset(_FR.split()), "Comment {} ?"),
    "es": (frozenset(_ES.split()), "¿Cómo {}?"),
    "pt": (frozenset(_PT.split()), "Como {}?"),
    "it": (frozenset(_IT.split()), "Come {}?"),
}
"""By language: infinitives that begin a heading, and the question that they make with what follows."""
